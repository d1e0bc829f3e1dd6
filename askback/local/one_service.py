"""One service alone, as a child process for the length of a block: for commands that need no more and run while nothing else does."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from askback.contracts.errors import ServiceError
from askback.local.settings import LocalSettings

_START_S = 60.0
_STOP_S = 20.0  # as long as the stack gives it to keep answers under way
_LOOK_EVERY_S = 0.05


@contextmanager
def teacher_at_hand(settings: LocalSettings, named_url: str, stack_is_up: bool) -> Iterator[str]:
    """Base URL of the teacher: at `named_url` where one is given, else of the stack where it is up, else of one started for the block."""
    if named_url or stack_is_up:
        yield named_url or settings.urls()["teacher"]
        return
    with teacher_alone(settings) as url:
        yield url


@contextmanager
def teacher_alone(settings: LocalSettings) -> Iterator[str]:
    """Base URL of a teacher with the stack's settings and cache, on a free port of loopback. Use it only while the stack is down.

    Raises ServiceError with the last line of its log when it does not start.
    """
    with _alone("teacher", settings, "/readyz") as url:
        yield url


@contextmanager
def evaluator_at_hand(settings: LocalSettings, named_url: str, stack_is_up: bool) -> Iterator[str]:
    """As `teacher_at_hand`. One that is started for the block has no Redis, so it reads runs and queues nothing."""
    if named_url or stack_is_up:
        yield named_url or settings.urls()["evaluator"]
        return
    with _alone("evaluator", settings, "/healthz") as url:
        yield url


@contextmanager
def _alone(name: str, settings: LocalSettings, probe: str) -> Iterator[str]:
    log = settings.home / "log" / f"{name}-alone.log"
    with _running([sys.executable, "-m", f"services.{name}"], settings.environment(), settings.root, log, name=name, probe=probe) as url:
        yield url


@contextmanager
def _running(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    start_s: float = _START_S,
    name: str = "teacher",
    probe: str = "/readyz",
) -> Iterator[str]:
    """Base URL of the service `name` that `command` starts on the port in its environment's PORT, once its route `probe` answers 200."""
    port = _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603
            command, env={**environment, "PORT": str(port)}, cwd=folder, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_ready(process, url + probe, log, start_s, name)
        yield url
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, log: Path, start_s: float, name: str) -> None:
    ends = time.monotonic() + start_s
    with httpx.Client(timeout=2.0, trust_env=False) as http:
        while not _ready(http, url):
            if process.poll() is not None:
                raise ServiceError(f"the {name} did not start: {_last_line(log)} (see {log})")
            if time.monotonic() > ends:
                raise ServiceError(f"the {name} was not ready within {start_s:g} s; see {log}")
            time.sleep(_LOOK_EVERY_S)


def _ready(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
