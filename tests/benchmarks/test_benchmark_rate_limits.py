"""The limiters stand for real upstreams, so a wrong one would praise a wrong proxy."""

import pytest

from benchmarks.rate_limits import Ruling, SlidingWindow, TokenBucket, announcement, duration


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("limiter_class", [TokenBucket, SlidingWindow])
def test_the_limit_may_come_at_once_and_not_one_more(limiter_class: type[TokenBucket] | type[SlidingWindow]) -> None:
    limiter = limiter_class(60, Clock())
    assert [limiter.call().admitted for _ in range(61)] == [True] * 60 + [False]


def test_a_bucket_admits_one_for_each_token_and_holds_no_more_than_the_limit() -> None:
    clock = Clock()
    bucket = TokenBucket(60, clock)
    for _ in range(60):
        bucket.call()
    clock.now += 0.5
    early = bucket.call()
    assert not early.admitted
    assert early.retry_s == pytest.approx(0.5)
    assert early.reset_s == pytest.approx(59.5)
    clock.now += early.retry_s
    assert bucket.call().admitted
    clock.now += 3600
    assert sum(bucket.call().admitted for _ in range(100)) == 60


def test_a_window_admits_again_when_its_oldest_call_leaves_it() -> None:
    clock = Clock()
    window = SlidingWindow(2, clock)
    window.call()
    clock.now += 20
    assert window.call() == Ruling(True, 0, 40.0, 60.0)
    clock.now += 39
    refused = window.call()
    assert (refused.admitted, refused.retry_s, refused.reset_s) == (False, 1.0, 21.0)
    clock.now += 1
    assert window.call().admitted
    assert not window.call().admitted


def test_a_window_may_announce_its_next_call_as_the_reset() -> None:
    clock = Clock()
    window = SlidingWindow(60, clock, resets_with_next=True)
    window.call()
    clock.now += 20
    assert window.call() == Ruling(True, 58, 0.0, 40.0)


def test_only_a_refusal_says_when_to_come_back() -> None:
    admitted = announcement(60, Ruling(True, 59, 0.0, 1.0))
    assert admitted == {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s"}
    refused = announcement(60, Ruling(False, 0, 0.2505, 59.5))
    assert (refused["retry-after"], refused["retry-after-ms"]) == ("1", "251")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (0.9996, "1s"), (1.5, "1.5s"), (60, "1m0s"), (60.5, "1m0.5s")])
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
