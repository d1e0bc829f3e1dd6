"""The pace against upstreams that count in different ways: 60 requests per minute, 32 callers, 5 minutes of virtual time."""

import asyncio
import math
from collections.abc import Callable
from random import Random
from typing import Protocol

import pytest
from test_teacher_pace import make, now, virtually

PER_MINUTE, CALLERS, SECONDS, LATENCY_S, JITTER_S = 60, 32, 300, 0.5, 0.02


class Upstream(Protocol):
    """`ask` says whether a request may come in at a time; then `remaining`, `reset_s` and `wait_s` say what its headers do."""

    remaining: int
    reset_s: float
    wait_s: float

    def ask(self, at: float) -> bool: ...


class TokenBucket:
    def __init__(self, capacity: int) -> None:
        self.capacity, self.level, self.at = capacity, float(capacity), 0.0

    def ask(self, at: float) -> bool:
        per_s = PER_MINUTE / 60
        self.level, self.at = min(self.capacity, self.level + (at - self.at) * per_s), at
        granted = self.level >= 1
        self.wait_s = (1 - self.level) / per_s
        self.level -= granted
        self.remaining, self.reset_s = int(self.level), (self.capacity - self.level) / per_s
        return granted


class SlidingWindow:
    def __init__(self) -> None:
        self.times: list[float] = []

    def ask(self, at: float) -> bool:
        self.times = [time for time in self.times if time > at - 60]
        granted = len(self.times) < PER_MINUTE
        self.times += [at] * granted
        self.remaining = PER_MINUTE - len(self.times)
        self.reset_s = self.wait_s = self.times[0] + 60 - at
        return granted


class SlidingWindowAsNew(SlidingWindow):
    """Its reset is the time until nothing is counted any more, as OpenAI words it."""

    def ask(self, at: float) -> bool:
        granted = super().ask(at)
        self.reset_s = self.times[-1] + 60 - at
        return granted


class FixedWindow:
    def __init__(self, began_s_ago: float) -> None:
        self.began_s_ago, self.window, self.remaining = began_s_ago, -1, 0

    def ask(self, at: float) -> bool:
        window, into_s = divmod(at + self.began_s_ago, 60)
        if window != self.window:
            self.window, self.remaining = int(window), PER_MINUTE
        granted = self.remaining > 0
        self.remaining -= granted
        self.reset_s = self.wait_s = 60 - into_s
        return granted


UPSTREAMS: dict[str, Callable[[], Upstream]] = {
    "bucket of 60": lambda: TokenBucket(60),
    "bucket of 1": lambda: TokenBucket(1),
    "sliding window": SlidingWindow,
    "sliding window, as new": SlidingWindowAsNew,
    "fixed window": lambda: FixedWindow(0),
    "fixed window, late": lambda: FixedWindow(25),
}


def answers_and_refusals(upstream: Upstream, *, configured: bool, announced: bool, seconds: int = SECONDS) -> tuple[int, int]:
    random, counts = Random(5), [0, 0]

    async def run() -> None:
        pace, begun = make(PER_MINUTE if configured else None), now()

        async def call() -> None:
            turn = await pace.start(100)
            await asyncio.sleep(random.uniform(0, JITTER_S))
            granted = upstream.ask(now() - begun)
            headers = {} if granted else {"retry-after": str(math.ceil(upstream.wait_s))}
            if announced:
                headers["x-ratelimit-limit-requests"] = str(PER_MINUTE)
                headers["x-ratelimit-remaining-requests"] = str(upstream.remaining)
                headers["x-ratelimit-reset-requests"] = f"{upstream.reset_s:.3f}s"
            if granted:
                await asyncio.sleep(random.uniform(0.7, 1.3) * LATENCY_S)
            counts[not granted] += 1
            pace.finish(turn, 200 if granted else 429, headers, 50)

        async def caller() -> None:
            while True:
                await call()

        callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
        await asyncio.sleep(seconds)
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    virtually(run)
    return counts[0], counts[1]


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(("configured", "most_refused"), [(True, 0.0), (False, 0.03)], ids=["configured", "announced"])
def test_a_known_limit_is_used_up_and_hardly_ever_hit(upstream: str, configured: bool, most_refused: float) -> None:
    answers, refusals = answers_and_refusals(UPSTREAMS[upstream](), configured=configured, announced=not configured)
    assert refusals / (answers + refusals) <= most_refused
    assert answers >= 0.95 * PER_MINUTE * SECONDS / 60


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_unknown_limit_is_learned(upstream: str) -> None:
    """The first minute is spent finding out; an even bucket is then used up to five sixths, the others nearly in full."""
    early, late = (
        answers_and_refusals(UPSTREAMS[upstream](), configured=False, announced=False, seconds=seconds) for seconds in (SECONDS, 3 * SECONDS)
    )
    assert early[1] / sum(early) < 0.15
    answers, refusals = late[0] - early[0], late[1] - early[1]
    assert refusals / (answers + refusals) < 0.05
    assert answers >= 0.8 * PER_MINUTE * 2 * SECONDS / 60
