import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import uvicorn
from fake_openai import FakeOpenAI
from running_teacher import RunningTeacher, paid_backend, teacher_toml
from starlette.types import ASGIApp

from services.teacher.answers.cache import RecentAnswers
from services.teacher.answers.recorded_backend import RecordedBackend
from services.teacher.answers.recordings import Recordings
from services.teacher.answers.sqlite_answers import SqliteAnswers
from services.teacher.app import Parts
from services.teacher.backends import Backends, OpenAIBackend
from services.teacher.batch.batches import Batches
from services.teacher.config import OpenAISpec, load_config
from services.teacher.core import Teacher
from services.teacher.money.budget import Budget
from services.teacher.money.ledger import Ledger
from services.teacher.money.prices import flat_price
from services.teacher.pacing.breaker import Breaker
from services.teacher.pacing.pace import Pace
from services.teacher.prometheus_metrics import PrometheusMetrics
from services.teacher.request.asked import Asked, read_request
from services.teacher.selection import ActiveBackend
from services.teacher.storage.database import Database
from services.teacher.upstream.lane import Lane
from services.teacher.upstream.protocol import Upstream
from services.teacher.upstream.purchase import Purchaser


class NoJitter(Random):
    """Draws the lowest number, so that no test waits for a retry."""

    def random(self) -> float:
        return 0.0


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
max_tries = 2
[[backends]]
name = "backed"
kind = "openai"
model = "big"
max_tries = 1
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
def make_parts(backends_file: Path, database: Database) -> Callable[..., Parts]:
    """`make_parts(paid=UPSTREAM)`: a teacher over BACKENDS, whose openai backends have the given upstreams.

    A prompt token costs 1e-6 dollars there and one of the answer 2e-6.
    """

    def make(total_usd: float | None = None, run_usd: float | None = None, **upstreams: Upstream) -> Parts:
        config, recordings, metrics = load_config(backends_file), Recordings(database), PrometheusMetrics()
        store, ledger, price = SqliteAnswers(database), Ledger(database), flat_price(1, 2)
        budget = Budget(database, ledger, total_usd, run_usd)
        metrics.watch_budget(budget)
        built: dict[str, RecordedBackend | OpenAIBackend] = {name: RecordedBackend(name, recordings) for name in ("replay", "gold")}
        for spec in config.backends:
            if isinstance(spec, OpenAISpec) and spec.name in upstreams:
                pace = Pace(requests_per_minute=None, tokens_per_minute=None, max_concurrency=None)
                lane = Lane(spec.name, upstreams[spec.name], pace, Breaker(spec.name), metrics, spec.timeout_s)
                built[spec.name] = OpenAIBackend(spec, price, Purchaser(spec, lane, budget, price, metrics, NoJitter()))
        backends = Backends(config, built, ActiveBackend(database, config))
        recent = RecentAnswers(2**20)
        batches = Batches(database, budget, store, recent, backends.spec, {}, metrics)
        return Parts(Teacher(backends, store, recent), backends, recordings, store, ledger, budget, metrics, batches, AsyncExitStack())

    return make


@pytest.fixture
def serve_app() -> Iterator[Callable[[ASGIApp], str]]:
    """`serve_app(app)` runs the application on a free port of loopback until the test ends; returns its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp) -> str:
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


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        yield running


@pytest.fixture(scope="module")
def teacher(server: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTeacher]:
    with RunningTeacher(tmp_path_factory.mktemp("teacher"), teacher_toml(paid_backend(server.url))) as running:
        yield running


@pytest.fixture
def upstream(server: FakeOpenAI) -> FakeOpenAI:
    server.forget()
    return server


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """Another one for each test, since they share a cache."""
    return str(request.node.name)


@pytest.fixture
def ask() -> Callable[..., Asked]:
    """`ask(TEXT, model=..., cache=..., run=..., FIELD=...)`: a request with one user message."""

    def make(text: str = "Q: Is water wet?", model: str = "teacher", **fields: Any) -> Asked:
        beside = {name: fields.pop(name) for name in ("cache", "run", "deadline_s") if name in fields}
        return read_request(orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}], **fields}), **beside)

    return make
