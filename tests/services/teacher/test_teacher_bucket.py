"""An allowance spent evenly."""

from bisect import bisect_left
from random import Random

import pytest

from services.teacher.pacing.bucket import Bucket


def starts(bucket: Bucket, seconds: float, amount: float = 1.0, now: float = 0.0) -> list[float]:
    """The times at which someone who always wants more gets it."""
    taken, end = [], now + seconds
    while (now := now + bucket.wait_s(amount, now)) < end:
        if bucket.wait_s(amount, now) == 0:
            bucket.take(amount)
            taken.append(now)
    return taken


@pytest.mark.parametrize("per_minute", [1, 3, 10, 50, 60, 61.5, 100, 600, 6000])
def test_no_minute_sees_more_than_the_allowance_and_a_long_run_nearly_all_of_it(per_minute: float) -> None:
    times = starts(Bucket(per_minute, 0.0), 600)
    most = max(bisect_left(times, time + 60) - i for i, time in enumerate(times))
    assert most <= per_minute
    assert len(times) >= 0.96 * per_minute * 10


@pytest.mark.parametrize(("per_minute", "burst"), [(6, 1), (60, 1), (600, 10)])
def test_one_second_of_it_may_be_taken_at_once(per_minute: float, burst: int) -> None:
    times = starts(Bucket(per_minute, 0.0), 30)
    assert times.count(0.0) == burst
    gaps = [later - sooner for sooner, later in zip(times[burst - 1 :], times[burst:], strict=False)]
    assert min(gaps) >= 60 / per_minute


def test_more_than_it_can_hold_passes_when_full_and_is_paid_off_after() -> None:
    bucket = Bucket(600.0, 0.0)  # holds 10
    bucket.take(4)
    assert bucket.wait_s(1000, 0.0) > 0
    assert bucket.wait_s(1000, 60.0) == 0
    bucket.take(1000)
    assert bucket.wait_s(1, 60.0) == pytest.approx(991 / 9.7)


def test_what_is_given_back_may_be_taken_at_once_and_is_not_hoarded() -> None:
    bucket = Bucket(600.0, 0.0)  # holds 10
    bucket.take(10)
    bucket.give_back(20, 60.0)
    for _ in range(3):
        assert bucket.wait_s(10, 60.0) == 0
        bucket.take(10)
    assert bucket.wait_s(1, 60.0) > 0
    bucket.give_back(500, 60.0)
    assert bucket.wait_s(10, 60.1) == 0
    bucket.take(10)
    assert bucket.wait_s(1, 60.1) > 0


def test_more_than_estimated_is_taken_after_the_fact() -> None:
    bucket = Bucket(600.0, 0.0)
    bucket.give_back(-107.0, 0.0)
    assert bucket.wait_s(10, 0.0) == pytest.approx(107 / 9.7)


def test_a_wait_is_always_enough() -> None:
    random = Random(3)
    bucket, now = Bucket(90_000.0, 1e6), 1e6
    for _ in range(5000):
        amount = random.choice((1, 700, 1500, 4000))
        wait_s = bucket.wait_s(amount, now)
        now += wait_s
        assert bucket.wait_s(amount, now) == 0
        bucket.take(amount)
        bucket.give_back(random.randrange(amount), now)
        now += random.random() * 0.1
