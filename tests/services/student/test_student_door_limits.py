"""At the door: who hangs up, who waits, who is too late, and what is counted of them."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from door_stage import BASE, FakeVllm, running, wait_until

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from services.student.__main__ import compose
from services.student.aiohttp_engine import AiohttpEngine
from services.student.door.pass_through import PassThrough
from services.student.prometheus_metrics import PrometheusMetrics
from services.student.turns import Turns

CHAT: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "Is it?"}]}
ROUTES: dict[str, dict[str, Any]] = {"/v1/chat/completions": CHAT, "/v1/answer": {"question": "Is it?"}}
each_route = pytest.mark.parametrize("route", list(ROUTES))
Start = Callable[..., str]


@pytest.fixture
def vllm() -> FakeVllm:
    return FakeVllm()


@pytest.fixture
def student(vllm: FakeVllm, tmp_path: Path) -> Iterator[Start]:
    """`student(MAX_QUEUE="1")` starts one before the fake engine; returns its address."""
    open_ones: list[AbstractContextManager[str]] = []

    def enter(one: AbstractContextManager[str]) -> str:
        url = one.__enter__()
        open_ones.append(one)
        return url

    def start(**environment: str) -> str:
        state = {"STUDENT_STATE": str(tmp_path / "student.json")}
        return enter(running(compose({"ENGINE_URL": enter(running(vllm))} | state | environment)))

    yield start
    vllm.held = False
    while open_ones:
        open_ones.pop().__exit__(None, None, None)


def metric(url: str, name: str) -> float:
    """The sum of the samples whose names begin with `askback_student_` and `name`."""
    lines = httpx.get(f"{url}/metrics").raise_for_status().text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"askback_student_{name}"))


def hang_up_on(url: str, body: dict[str, Any]) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body, timeout=0.3)


@each_route
def test_a_hang_up_ends_the_generation(student: Start, vllm: FakeVllm, route: str) -> None:
    url = student()
    vllm.held = True
    hang_up_on(url + route, ROUTES[route])
    wait_until(lambda: vllm.abandoned == 1 and not vllm.under_way, "the engine to see the hang-up")
    wait_until(lambda: metric(url, f'requests_total{{route="{route}",status="499"}}') == 1, "the count")
    assert metric(url, "engine_in_flight") == 0


def test_a_hang_up_within_a_stream_ends_the_generation(student: Start, vllm: FakeVllm) -> None:
    url = student()
    vllm.gap_s = 0.1
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
        next(answer.iter_bytes())
    wait_until(lambda: vllm.abandoned == 1 and not vllm.under_way, "the engine to see the hang-up")
    assert metric(url, "engine_in_flight") == 0


@each_route
def test_who_hangs_up_in_the_queue_never_reaches_the_engine(student: Start, vllm: FakeVllm, route: str) -> None:
    url = student(MAX_CONCURRENCY="1")
    vllm.held = True
    with ThreadPoolExecutor() as pool:
        first = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=CHAT)
        wait_until(lambda: vllm.under_way, "the first request")
        hang_up_on(url + route, ROUTES[route])
        wait_until(lambda: metric(url, "engine_queue") == 0, "the queue to be left")
        vllm.held = False
        assert first.result().status_code == 200
    assert len(vllm.calls) == 1


def test_a_full_queue_answers_429(student: Start, vllm: FakeVllm) -> None:
    url = student(MAX_CONCURRENCY="2", MAX_QUEUE="1")
    vllm.held = True
    with ThreadPoolExecutor() as pool:
        served = [pool.submit(httpx.post, url + route, json=ROUTES[route]) for route in [*ROUTES, "/v1/answer"]]
        wait_until(lambda: metric(url, "engine_queue") == 1, "the queue to fill")
        refused = {route: httpx.post(url + route, json=body) for route, body in ROUTES.items()}
        vllm.held = False
        assert [answer.result().status_code for answer in served] == [200] * 3
    for answer in refused.values():
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert refused["/v1/answer"].json()["error"] == "TooManyRequests"
    assert "2 requests are at the engine and 1 wait" in refused["/v1/answer"].json()["detail"]
    assert refused["/v1/chat/completions"].json()["error"]["type"] == "TooManyRequests"
    assert vllm.most_under_way == 2


@each_route
@pytest.mark.parametrize("queued", [False, True], ids=["at the engine", "in the queue"])
def test_a_deadline_is_kept_wherever_the_request_is(student: Start, vllm: FakeVllm, route: str, queued: bool) -> None:
    url = student(MAX_CONCURRENCY="1")
    vllm.held = True
    with ThreadPoolExecutor() as pool:
        first = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=CHAT) if queued else None
        wait_until(lambda: vllm.under_way == queued, "the first request")
        began = time.monotonic()
        late = httpx.post(url + route, json=ROUTES[route], headers={"x-askback-deadline-s": "0.3"})
        assert 0.25 < time.monotonic() - began < 1.5
        vllm.held = False
        assert first is None or first.result().status_code == 200
    assert late.status_code == 504
    assert "x-askback-deadline-s: 0.3 s" in late.text and "DeadlineExceeded" in late.text
    wait_until(lambda: not vllm.under_way, "the engine to be left alone")
    assert len(vllm.calls) == 1


def test_a_deadline_within_a_stream_ends_it_with_an_error(student: Start, vllm: FakeVllm) -> None:
    url = student()
    vllm.gap_s = 0.2
    answer = httpx.post(f"{url}/v1/chat/completions", json=CHAT | {"stream": True}, headers={"x-askback-deadline-s": "0.5"})
    events = answer.text.strip().split("\n\n")
    assert answer.status_code == 200 and "DeadlineExceeded" in events[-1] and "[DONE]" not in answer.text
    assert 2 <= len(events) <= 5


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "1e9"])
def test_a_bad_deadline_is_named(student: Start, value: str) -> None:
    answer = httpx.post(f"{student()}/v1/answer", json={"question": "Is it?"}, headers={"x-askback-deadline-s": value})
    assert answer.status_code == 422 and "x-askback-deadline-s" in answer.json()["detail"]


def test_a_stream_that_the_engine_cuts_says_so(student: Start, vllm: FakeVllm) -> None:
    url = student()
    vllm.cut_after = 2
    answer = httpx.post(f"{url}/v1/chat/completions", json=CHAT | {"stream": True})
    assert "UpstreamUnavailable" in answer.text.strip().split("\n\n")[-1] and "[DONE]" not in answer.text


def test_a_hundred_at_once_are_served_within_the_limit(student: Start, vllm: FakeVllm) -> None:
    url = student(MAX_CONCURRENCY="8")
    done: list[int] = []

    def ask() -> None:
        done.append(httpx.post(f"{url}/v1/chat/completions", json=CHAT | {"stream": True}, timeout=30).status_code)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [200] * 100 and vllm.most_under_way <= 8
    assert metric(url, "engine_in_flight") == metric(url, "engine_queue") == 0


@pytest.mark.parametrize("name", ["MAX_CONCURRENCY", "MAX_QUEUE", "ENGINE_START_S"])
@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: '{value}'"):
        compose({name: value})


async def test_who_is_not_admitted_does_not_reach_the_engine_and_is_told_why() -> None:
    class Registry:
        async def using(self, name: str, call: Any) -> Any:
            return name, await call(BASE)

    @asynccontextmanager
    async def shut() -> AsyncIterator[None]:
        raise UpstreamUnavailable("the engine is asleep while job 7 trains")
        yield

    turns = Turns(1, 0)
    passing = PassThrough(AiohttpEngine("http://127.0.0.1:1"), Registry(), turns, PrometheusMetrics(), BASE, shut)  # type: ignore[arg-type]
    with pytest.raises(UpstreamUnavailable, match="asleep while job 7"):
        await passing.complete("/v1/chat/completions", [], b"{}", None, None)  # type: ignore[arg-type]
    assert turns.in_flight == 0
