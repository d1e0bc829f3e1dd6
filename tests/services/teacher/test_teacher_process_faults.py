"""An upstream that fails in every way it can: how each ends, what it costs, and that nothing wrong is kept.

One teacher with a backend for each test, so that no test hears of another one's breaker.
"""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_openai import FakeOpenAI, Fault, Good, Refusal
from running_teacher import CALL_USD, RunningTeacher, events_of, paid_backend, teacher_toml, wait_until

TRIES = 2
TIMEOUT_S, DEADLINE_S = 0.8, 5.0
SLACK_S = 2.0
"""What a busy machine may add to a time that is promised."""
PATIENT = [f"patient-{number}" for number in range(32)]
IMPATIENT = ["impatient-plain", "impatient-streamed"]
"""Backends whose tries end after TIMEOUT_S."""
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """An address that is taken and where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{one.getsockname()[1]}/v1"


@pytest.fixture(scope="module")
def teacher(server: FakeOpenAI, nobody: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTeacher]:
    limits: dict[str, Any] = {"max_tries": TRIES, "deadline_s": DEADLINE_S}
    backends = [paid_backend(server.url, name, **limits) for name in PATIENT]
    backends += [paid_backend(server.url, name, **limits, timeout_s=TIMEOUT_S) for name in IMPATIENT]
    backends.append(paid_backend(nobody, "nobody", **limits))
    with RunningTeacher(tmp_path_factory.mktemp("teacher"), teacher_toml(*backends)) as running:
        yield running


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    return iter(PATIENT)


@pytest.fixture
def name(names: Iterator[str]) -> str:
    """A backend that no other test has asked."""
    return next(names)


def booked(teacher: RunningTeacher, name: str) -> tuple[int, float, float]:
    """(calls, dollars, dollars that are estimated) in the ledger."""
    rows = {row["name"]: row for row in teacher.get("/v1/usage")["by_backend"]}
    row = rows.get(name, {"calls": 0, "cost_usd": 0.0, "estimated_usd": 0.0})
    return row["calls"], row["cost_usd"], row["estimated_usd"]


def assert_not_kept(teacher: RunningTeacher, upstream: FakeOpenAI, name: str) -> None:
    """A good upstream is asked again."""
    upstream.forget()
    for cache in ("miss", "hit"):
        answer = teacher.ask("a question", model=name)
        assert (answer.status_code, answer.headers["x-cache"]) == (200, cache)
        assert answer.json()["choices"][0]["message"]["content"] == "answer 1.0 to a question"


@STREAMED
def test_429_is_waited_out_as_long_as_retry_after_says(upstream: FakeOpenAI, teacher: RunningTeacher, name: str, stream: bool) -> None:
    upstream.plan = lambda call: Refusal(429, {"retry-after": "2"}) if call.number == 1 else Good()
    assert teacher.ask("a question", model=name, stream=stream).status_code == 200
    first, second = upstream.calls
    assert 2.0 <= second.at - first.at < 2.2 + SLACK_S
    assert booked(teacher, name) == (1, CALL_USD, 0.0)


def test_429_is_no_try(upstream: FakeOpenAI, teacher: RunningTeacher, name: str) -> None:
    upstream.plan = lambda call: Refusal(429, {"retry-after-ms": "50"}) if call.number <= 3 * TRIES else Good()
    assert teacher.ask("a question", model=name).status_code == 200
    assert len(upstream.calls) == 3 * TRIES + 1


def test_429_beyond_the_deadline_is_told_at_once(upstream: FakeOpenAI, teacher: RunningTeacher, name: str) -> None:
    upstream.plan = lambda call: Refusal(429, {"retry-after": "3600"})
    answer = teacher.ask("a question", model=name)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3600")
    assert answer.elapsed.total_seconds() < DEADLINE_S
    assert len(upstream.calls) == 1


def test_an_account_without_money_is_not_asked_again(upstream: FakeOpenAI, teacher: RunningTeacher, name: str) -> None:
    upstream.plan = lambda call: Refusal(429, code="insufficient_quota")
    assert teacher.ask("a question", model=name).status_code == 502
    assert len(upstream.calls) == 1


@STREAMED
def test_500_is_tried_as_often_as_configured(upstream: FakeOpenAI, teacher: RunningTeacher, name: str, stream: bool) -> None:
    upstream.plan = lambda call: Refusal(500)
    answer = teacher.ask("a question", model=name, stream=stream)
    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < DEADLINE_S + SLACK_S
    assert "answered 500: scripted refusal 500" in answer.json()["error"]["message"]
    assert len(upstream.calls) == TRIES
    assert booked(teacher, name) == (0, 0.0, 0.0)
    assert_not_kept(teacher, upstream, name)


@pytest.mark.parametrize("fault", [Fault.TRUNCATED, Fault.CLOSED], ids=["truncated", "closed"])
@STREAMED
def test_what_breaks_off_is_tried_again_and_booked_at_most(
    upstream: FakeOpenAI, teacher: RunningTeacher, name: str, fault: Fault, stream: bool
) -> None:
    upstream.plan = lambda call: fault
    answer = teacher.ask("a question", model=name, stream=stream)
    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < DEADLINE_S + SLACK_S
    assert upstream.paid == {"a question": TRIES}
    assert booked(teacher, name) == (TRIES, TRIES * CALL_USD, TRIES * CALL_USD)
    assert_not_kept(teacher, upstream, name)


@STREAMED
def test_invalid_json_is_rejected_at_once(upstream: FakeOpenAI, teacher: RunningTeacher, name: str, stream: bool) -> None:
    upstream.plan = lambda call: Fault.INVALID_JSON
    assert teacher.ask("a question", model=name, stream=stream).status_code == 502
    assert len(upstream.calls) == 1
    assert booked(teacher, name) == (1, CALL_USD, CALL_USD)
    assert_not_kept(teacher, upstream, name)


@STREAMED
def test_a_hang_ends_within_the_deadline(upstream: FakeOpenAI, teacher: RunningTeacher, stream: bool) -> None:
    name = IMPATIENT[stream]
    upstream.plan = lambda call: Fault.HANG
    answer = teacher.ask("a question", model=name, stream=stream)
    assert answer.status_code in (503, 504)
    assert answer.elapsed.total_seconds() < DEADLINE_S + SLACK_S
    assert upstream.paid == {"a question": TRIES}
    assert booked(teacher, name) == (TRIES, TRIES * CALL_USD, TRIES * CALL_USD)
    assert_not_kept(teacher, upstream, name)


@STREAMED
def test_a_caller_may_give_up_before_the_call_does(upstream: FakeOpenAI, teacher: RunningTeacher, name: str, stream: bool) -> None:
    upstream.hold()
    answer = teacher.ask("a question", {"x-askback-deadline-s": "0.2"}, model=name, stream=stream)
    upstream.release()
    assert answer.status_code == 504
    assert 0.2 <= answer.elapsed.total_seconds() < 0.2 + SLACK_S
    kept = {"cache-control": "only-if-cached"}
    wait_until(lambda: teacher.ask("a question", kept, model=name).status_code == 200, "the answer in the cache")
    assert len(upstream.calls) == 1


def test_a_stream_that_is_cut_ends_with_an_error(upstream: FakeOpenAI, teacher: RunningTeacher, name: str) -> None:
    upstream.plan = lambda call: Fault.CUT
    answer = teacher.ask("a question", model=name, stream=True)
    assert answer.status_code == 200
    *chunks, last = (json.loads(event) for event in events_of(answer.content))
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "answer 1.0"
    assert "broke its stream off" in last["error"]["message"]
    assert len(upstream.calls) == 1
    assert booked(teacher, name) == (1, CALL_USD, CALL_USD)
    assert_not_kept(teacher, upstream, name)


def test_an_answer_at_its_token_limit_is_passed_on_and_not_kept(upstream: FakeOpenAI, teacher: RunningTeacher, name: str) -> None:
    upstream.plan = lambda call: Good(finish_reason="length")
    answer = teacher.ask("a question", model=name)
    assert (answer.status_code, answer.json()["choices"][0]["finish_reason"]) == (200, "length")
    assert booked(teacher, name) == (1, CALL_USD, 0.0)
    assert_not_kept(teacher, upstream, name)


def test_nobody_at_the_address_costs_nothing(teacher: RunningTeacher) -> None:
    answer = teacher.ask("a question", model="nobody")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["error"]["message"]
    assert booked(teacher, "nobody") == (0, 0.0, 0.0)


def test_an_upstream_that_is_down_is_left_alone_for_a_while(upstream: FakeOpenAI, teacher: RunningTeacher, name: str) -> None:
    upstream.plan = lambda call: Refusal(503)
    while len(upstream.calls) < 5:
        assert teacher.ask("a question", model=name).status_code == 503
    calls, started = len(upstream.calls), time.monotonic()
    answer = teacher.ask("a question", model=name)
    assert answer.status_code == 503
    assert time.monotonic() - started < SLACK_S
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert "is down" in answer.json()["error"]["message"]
    assert len(upstream.calls) == calls
