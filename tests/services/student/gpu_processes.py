"""A card on paper for the tests of its turn: an engine that sleeps and wakes, a student, a training, each a process of its own.

`python gpu_processes.py engine|student|training FOLDER PORT` runs one. The engine and the training look at each other's marks in FOLDER
and write into `violations` when both use the card.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

import httpx

ROOT = Path(__file__).parents[3]
SLOW_S = 0.3
"""What a sleep and a wake of the engine take, so that a kill can hit them."""


def violated(folder: Path, text: str) -> None:
    with (folder / "violations").open("a") as file:
        file.write(text + "\n")


def training_pid(folder: Path) -> int | None:
    """Process that trains now."""
    try:
        pid = int((folder / "training").read_text() or 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    return None if state == "Z" else pid


class Engine(BaseHTTPRequestHandler):
    folder: Path
    sleeping = False
    one_at_a_time = Lock()
    loaded: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self._answer({"is_sleeping": Engine.sleeping, "loaded": Engine.loaded})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/ask":
            time.sleep(SLOW_S)
            if Engine.sleeping:
                violated(self.folder, "asked while asleep")
            return self._answer({"text": "yes"})
        with Engine.one_at_a_time:
            if self.path == "/load":
                Engine.loaded.append(json.loads(body)["name"])
            elif self.path.startswith("/sleep"):
                assert self.path.endswith("level=1")
                time.sleep(SLOW_S)
                Engine.sleeping = True
            elif self.path == "/wake_up":
                time.sleep(SLOW_S)
                if training_pid(self.folder):
                    violated(self.folder, "woken while a training has the card")
                Engine.sleeping = False
        return self._answer({})

    def _answer(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        with suppress(OSError):  # who asked may have been killed
            self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def engine(folder: Path, port: int) -> None:
    Engine.folder = folder
    ThreadingHTTPServer(("127.0.0.1", port), Engine).serve_forever()


def student(folder: Path, port: int) -> None:
    import uvicorn
    from fastapi import APIRouter

    from askback.contracts.gpu_lock import GpuLock
    from askback.contracts.student import Adapter
    from services.serving import create_service
    from services.student.aiohttp_engine import AiohttpEngine
    from services.student.gpu.gate import Gate
    from services.student.gpu.gpu_routes import gpu_router
    from services.student.gpu.turn import GpuTurn, Times
    from services.student.gpu.vllm_sleep import VllmSleep

    http = httpx.AsyncClient(base_url=os.environ["ENGINE_URL"])
    gate = Gate(is_open=False)

    async def prepare(adapter: Adapter | None) -> None:
        async with gate.admitted():
            await http.post("/load", json={"name": adapter.name if adapter else "default"})

    times = Times(look_every_s=0.05, drain_s=2, grace_s=float(os.environ.get("GRACE_S", "30")), settle_s=0.05)
    turn = GpuTurn(GpuLock.at(folder / "gpu.lock"), VllmSleep(AiohttpEngine(os.environ["ENGINE_URL"])), gate, prepare, times)
    router = APIRouter()
    router.include_router(gpu_router(turn, prepare))

    @router.post("/ask")
    async def ask() -> dict[str, str]:
        async with gate.admitted():
            answer: dict[str, str] = (await http.post("/ask")).json()
            return answer

    async def ready() -> str:
        return turn.missing()

    uvicorn.run(create_service("student", router, ready), host="127.0.0.1", port=port, log_level="warning")


def training(folder: Path, port: int) -> None:
    """Takes the card from the student on `port`, trains until the file `end` is there, ends."""
    from askback.contracts.trainer import Job, JobState, TrainRequest
    from services.trainer.processes.gpu_turn import take_turn
    from services.trainer.settings import Settings

    job = Job(id=f"{os.getpid():016x}", state=JobState.RUNNING, request=TrainRequest(run_id="r", name="a", dataset="d"))
    settings = Settings(folder, folder, "m", "", folder / "gpu.lock", f"http://127.0.0.1:{port}")
    take_turn(settings, job, lambda text: (folder / "note").write_text(text))  # type: ignore[arg-type,return-value]
    (folder / "training").write_text(str(os.getpid()))
    while not (folder / "end").exists():
        with suppress(httpx.HTTPError):
            if not httpx.get(os.environ["ENGINE_URL"] + "/is_sleeping").json()["is_sleeping"]:
                violated(folder, "the engine is awake in the training")
        time.sleep(0.02)
    (folder / "training").unlink()


def start(role: str, folder: Path, port: int, engine_port: int, **variables: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ENGINE_URL": f"http://127.0.0.1:{engine_port}", **variables}
    with (folder / f"{role}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, __file__, role, str(folder), str(port)], env=environment, stdout=log, stderr=log)


if __name__ == "__main__":
    {"engine": engine, "student": student, "training": training}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
