"""A rate learned from refusals."""

import pytest

from services.teacher.pacing.learned_rate import LearnedRate


def learned(successes: int, seconds: float) -> tuple[LearnedRate, float]:
    """After two refusals with evenly spread successes in between; and the time."""
    rate, now = LearnedRate(), 1000.0
    rate.refused(now)
    for i in range(successes):
        rate.succeeded(now + seconds * i / successes)
    rate.refused(now + seconds)
    return rate, now + seconds


def spacing_s(rate: LearnedRate, now: float) -> float:
    while rate.wait_s(now) == 0:
        rate.take()
    return rate.wait_s(now)


def free(rate: LearnedRate, now: float) -> bool:
    """Whether a hundred requests may start at once."""
    for _ in range(100):
        if rate.wait_s(now) > 0:
            return False
        rate.take()
    return True


def test_one_refusal_teaches_nothing() -> None:
    rate = LearnedRate()
    rate.succeeded(0.0)
    rate.refused(0.5)
    assert free(rate, 0.5)


def test_the_successes_between_two_refusals_are_the_rate() -> None:
    rate, now = learned(successes=20, seconds=10)
    assert rate.wait_s(now) == pytest.approx(0.5, rel=0.05)
    assert rate.wait_s(now + 0.6) == 0


def test_a_burst_of_a_whole_minute_is_not_taken_for_a_trickle() -> None:
    rate = LearnedRate()
    for i in range(60):
        rate.succeeded(i / 20)
    rate.refused(3.0)
    rate.succeeded(50.0)
    rate.refused(50.1)
    assert spacing_s(rate, 50.1) == pytest.approx(1.0, rel=0.05)


def test_a_burst_of_an_earlier_minute_is_no_measure() -> None:
    rate = LearnedRate()
    rate.refused(0.0)
    for i in range(60):
        rate.succeeded(i / 20)
    rate.refused(200.0)
    assert rate.wait_s(200.0) > 3


def test_a_refusal_after_a_long_peace_begins_anew() -> None:
    rate, now = learned(successes=20, seconds=20)
    rate.refused(now + 400)
    assert free(rate, now + 400)


def test_it_hardly_grows_at_first_and_is_soon_forgotten() -> None:
    rate, now = learned(successes=20, seconds=20)
    at_first = spacing_s(rate, now)
    rate, now = learned(successes=20, seconds=20)
    assert rate.wait_s(now + 15) == 0
    assert at_first / 1.1 < spacing_s(rate, now + 15) < at_first
    assert spacing_s(rate, now + 120) < at_first / 8


def test_it_follows_an_upstream_that_allows_less_than_before() -> None:
    rate, now = learned(successes=600, seconds=60)
    for i in range(10):
        rate.succeeded(now + 60 + i)
    rate.refused(now + 120)
    assert spacing_s(rate, now + 120) > 3


@pytest.mark.parametrize(("successes", "seconds"), [(0, 10), (3, 0.5), (3, 400)])
def test_too_little_is_no_measure(successes: int, seconds: float) -> None:
    rate, now = learned(successes, seconds)
    assert free(rate, now)


def test_few_calls_do_not_stop_it() -> None:
    assert spacing_s(*learned(successes=1, seconds=290)) < 21


def test_a_request_that_does_not_start_leaves_its_place() -> None:
    rate, now = learned(successes=20, seconds=20)
    now += 1.1
    assert rate.wait_s(now) == 0
    rate.take()
    assert rate.wait_s(now) > 0
    rate.give_back(now)
    assert rate.wait_s(now) == 0
