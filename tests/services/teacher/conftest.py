import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from askback.contracts.teacher import ChatRequest
from services.teacher.answers import PaidAnswers
from services.teacher.backend import Backend
from services.teacher.config import load_config
from services.teacher.core import Teacher
from services.teacher.database import Database
from services.teacher.recorded_backend import RecordedBackend
from services.teacher.recordings import Recordings
from services.teacher.selection import ActiveBackend

BACKENDS = """
active = "replay"
[[backends]]
name = "replay"
kind = "replay"
fallback = ["gold"]
[[backends]]
name = "gold"
kind = "gold"
[[backends]]
name = "paid"
kind = "openai"
model = "big"
[[backends]]
name = "backed"
kind = "openai"
model = "big"
fallback = ["paid", "gold"]
"""


@pytest.fixture
def backends_file(tmp_path: Path) -> Path:
    path = tmp_path / "teacher.toml"
    path.write_text(BACKENDS)
    return path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "teacher.sqlite")
    yield database
    database.close()


@pytest.fixture
def make_teacher(backends_file: Path, database: Database) -> Callable[..., Teacher]:
    """`make_teacher(paid=BACKEND)`: a teacher over BACKENDS, whose openai backends are the given fakes."""

    def make(**fakes: Backend) -> Teacher:
        config, recordings = load_config(backends_file), Recordings(database)
        recorded = {name: RecordedBackend(name, recordings) for name in ("replay", "gold")}
        return Teacher(config, recorded | fakes, PaidAnswers(database), recordings, ActiveBackend(database, config))

    return make


@pytest.fixture
def serve_app() -> Iterator[Callable[[FastAPI], str]]:
    """`serve_app(app)` runs the application on a free port of loopback until the test ends; returns its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: FastAPI) -> str:
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def ask() -> Callable[..., ChatRequest]:
    def make(text: str = "Q: Is water wet?", model: str = "teacher", **fields: object) -> ChatRequest:
        return ChatRequest.model_validate({"model": model, "messages": [{"role": "user", "content": text}], **fields})

    return make
