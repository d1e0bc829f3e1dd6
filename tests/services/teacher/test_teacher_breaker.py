"""The circuit breaker on its own."""

import pytest

from askback.contracts.errors import UpstreamUnavailable
from services.teacher.pacing.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("paid", failures=3, cool_down_s=10.0, now=clock)


def call(breaker: Breaker, outcome: str) -> None:
    breaker.check()
    getattr(breaker, outcome)()


def refused(breaker: Breaker) -> UpstreamUnavailable:
    with pytest.raises(UpstreamUnavailable) as caught:
        breaker.check()
    return caught.value


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        call(breaker, "failed")
    return breaker


def test_it_opens_at_the_last_of_several_failures_in_a_row(breaker: Breaker) -> None:
    call(breaker, "failed")
    call(breaker, "failed")
    assert breaker.state == "closed"
    call(breaker, "failed")
    assert breaker.state == "open"


def test_a_success_ends_the_row(breaker: Breaker) -> None:
    for outcome in ("failed", "failed", "succeeded", "failed", "failed"):
        call(breaker, outcome)
    assert breaker.state == "closed"


def test_calls_without_outcome_do_not_end_the_row(breaker: Breaker) -> None:
    for outcome in ("failed", "failed", "abandoned", "failed"):
        call(breaker, outcome)
    assert breaker.state == "open"


def test_the_refusal_names_backend_failures_and_seconds(opened: Breaker, clock: Clock) -> None:
    clock.time += 2.5
    error = refused(opened)
    assert str(error) == "backend 'paid' is down (3 failed calls in a row); next try in 7.5 s"
    assert error.retry_after_s == 7.5


def test_one_probe_passes_after_the_cool_down(opened: Breaker, clock: Clock) -> None:
    clock.time += 10
    assert opened.state == "half-open"
    opened.check()
    error = refused(opened)
    assert "under way" in str(error)
    assert error.retry_after_s is not None and error.retry_after_s > 0
    opened.succeeded()
    assert opened.state == "closed"
    for _ in range(5):
        opened.check()


def test_a_failed_probe_opens_it_for_another_cool_down(opened: Breaker, clock: Clock) -> None:
    clock.time += 12
    call(opened, "failed")
    assert opened.state == "open"
    error = refused(opened)
    assert error.retry_after_s == 10.0
    assert "4 failed calls" in str(error)


def test_after_a_successful_probe_the_count_begins_anew(opened: Breaker, clock: Clock) -> None:
    clock.time += 10
    call(opened, "succeeded")
    call(opened, "failed")
    call(opened, "failed")
    assert opened.state == "closed"


def test_an_abandoned_probe_leaves_room_for_the_next(opened: Breaker, clock: Clock) -> None:
    clock.time += 10
    call(opened, "abandoned")
    assert opened.state == "half-open"
    opened.check()
    refused(opened)


def test_late_failures_of_older_calls_do_not_prolong_the_cool_down(opened: Breaker, clock: Clock) -> None:
    clock.time += 9
    opened.failed()
    clock.time += 1
    opened.failed()
    opened.check()
    assert opened.state == "half-open"


def test_a_late_success_of_an_older_call_closes_it(opened: Breaker) -> None:
    opened.succeeded()
    assert opened.state == "closed"
