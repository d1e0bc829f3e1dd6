"""Loading, dead, asleep and back: what /readyz and refused requests say of the engine."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from door_stage import BASE, running, wait_until

from askback.contracts.errors import DeadlineExceeded, UpstreamUnavailable
from benchmarks.loopback import free_port
from services.student.__main__ import compose
from services.student.engine_health import EngineHealth

ROOT = Path(__file__).parents[3]
CHAT: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "Is it?"}]}


class Answer:
    def __init__(self, status: int) -> None:
        self.status, self.headers = status, []

    async def read(self) -> bytes:
        return b""


class Link:
    """An engine whose /health gives `status`; 0: nobody listens."""

    url = "http://engine"
    status = 0

    @asynccontextmanager
    async def send(self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()) -> AsyncIterator[Any]:
        assert (method, target) == ("GET", "/health")
        if not self.status:
            raise UpstreamUnavailable("refused")
        yield Answer(self.status)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_an_engine_loads_until_it_answers_or_its_time_is_over() -> None:
    link, clock = Link(), Clock()
    health = EngineHealth(link, 600, now=clock)
    clock.now += 12
    assert await health.ready() == "the engine is loading (12 s of at most 600)"
    clock.now += 589
    assert await health.ready() == "the engine is dead: it has not answered within 600 s"
    link.status = 200
    assert await health.ready() == "" and health.up


@pytest.mark.parametrize("status", [0, 500, 503])
async def test_an_engine_that_answered_once_is_dead_and_not_loading(status: int) -> None:
    link, clock = Link(), Clock()
    link.status = 200
    health = EngineHealth(link, 600, now=clock)
    assert await health.ready() == ""
    link.status = status
    clock.now += 14
    assert await health.ready() == "the engine is dead: it answered until 14 s ago"


async def test_an_engine_that_sleeps_is_neither() -> None:
    link, asleep = Link(), ["the engine is asleep while job 7 trains"]
    link.status = 200
    health = EngineHealth(link, 600, lambda: asleep[0])
    assert await health.ready() == "the engine is asleep while job 7 trains"
    asleep[0] = ""
    assert await health.ready() == ""
    asleep[0], link.status = "the engine was not found awake yet", 0
    assert "dead" in await health.ready()


async def test_a_failed_call_is_told_in_terms_of_the_engine() -> None:
    link = Link()
    health = EngineHealth(link, 600)
    told = health.explained(UpstreamUnavailable("connection refused"))
    assert "loading" in str(told) and told.retry_after_s == 5
    late = DeadlineExceeded("late")
    assert health.explained(late) is late
    link.status = 200
    await health.look()
    broken = UpstreamUnavailable("broke off")
    assert health.explained(broken) is broken


class EngineProcess:
    """The benchmark's fake engine as a process of its own, to be killed."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--port", str(self.port), "--first-ms", "50", "--token-ms", "20"]
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.fake_engine", *options], cwd=ROOT)
        wait_until(self._listens, "the fake engine's start", 30)

    def _listens(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    process = EngineProcess()
    process.start()
    yield process
    process.kill()


def test_an_engine_killed_under_load_costs_503s_and_nothing_else(engine: EngineProcess, tmp_path: Path) -> None:
    seen: list[tuple[float, float, httpx.Response]] = []
    over = threading.Event()
    with running(compose({"ENGINE_URL": engine.url, "STUDENT_STATE": str(tmp_path / "s.json")})) as url:

        def ask(number: int) -> None:
            path, body = ("/v1/answer", {"question": "Is it?"}) if number % 3 == 0 else ("/v1/chat/completions", CHAT | {"stream": number % 3 == 1})
            with httpx.Client(timeout=20) as http:
                while not over.is_set():
                    began = time.monotonic()
                    answer = http.post(url + path, json=body, headers={"x-askback-deadline-s": "5"})
                    seen.append((began, time.monotonic() - began, answer))
                    time.sleep(0.05 if answer.status_code == 503 else 0)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(12)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(seen) > 30, "requests before the kill")
        engine.kill()
        wait_until(lambda: sum(answer.status_code == 503 for _, _, answer in seen) > 30, "refusals")
        wait_until(lambda: "dead: it answered until" in httpx.get(f"{url}/readyz").text, "the engine's death to be seen")
        assert httpx.get(f"{url}/readyz").status_code == 503
        engine.start()
        back = time.monotonic()
        wait_until(lambda: sum(began > back and answer.status_code == 200 for began, _, answer in seen) > 30, "answers after the restart")
        over.set()
        for thread in threads:
            thread.join(20)
        assert httpx.get(f"{url}/readyz").json() == {"status": "ready", "service": "student"}
    assert Counter(answer.status_code for _, _, answer in seen).keys() == {200, 503}
    assert max(seconds for _, seconds, _ in seen) < 5
    assert all(int(answer.headers["retry-after"]) >= 1 for _, _, answer in seen if answer.status_code == 503)
    assert not [1 for began, _, answer in seen if began > back + 0.5 and answer.status_code != 200]
    whole = [answer for _, _, answer in seen if answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")]
    assert all(("[DONE]" in answer.text) != ("UpstreamUnavailable" in answer.text) for answer in whole)
