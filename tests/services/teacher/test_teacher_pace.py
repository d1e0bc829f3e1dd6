"""The pace on its own, in virtual time."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from services.teacher.pacing.pace import Pace, Turn

T = TypeVar("T")


class Skipping(selectors.SelectSelector):
    """Waits for nothing: the time waited for is over at once."""

    time = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everyone waits and nothing will happen"
        self.time += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.skipping = Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        return self.skipping.time


def virtually(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def now() -> float:
    return asyncio.get_running_loop().time()


def make(requests: float | None = None, tokens: float | None = None, most: int | None = None) -> Pace:
    return Pace(requests_per_minute=requests, tokens_per_minute=tokens, max_concurrency=most, now=now)


async def queued(pace: Pace, count: int, tokens: int = 1) -> list[asyncio.Task[Turn]]:
    tasks = [asyncio.create_task(pace.start(tokens)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def started(tasks: list[asyncio.Task[Turn]]) -> list[bool]:
    return [task.done() for task in tasks]


def test_turns_come_first_come_first_served() -> None:
    async def run() -> None:
        pace, order = make(most=1), list[int]()

        async def call(i: int) -> None:
            turn = await pace.start(1)
            order.append(i)
            await asyncio.sleep(1)
            pace.finish(turn, 200, {}, 1)

        await asyncio.gather(*(call(i) for i in range(20)))
        assert order == list(range(20))
        assert (pace.waiting, pace.in_flight) == (0, 0)

    virtually(run)


def test_no_more_are_under_way_than_the_limit() -> None:
    async def run() -> None:
        pace = make(most=3)
        tasks = await queued(pace, 5)
        assert started(tasks) == [True] * 3 + [False] * 2
        assert (pace.in_flight, pace.waiting, pace.limit) == (3, 2, 3)
        pace.finish(tasks[0].result(), None, {}, None)
        await asyncio.sleep(0)
        assert started(tasks) == [True] * 4 + [False]
        tasks[4].cancel()

    virtually(run)


def test_a_newcomer_does_not_overtake_the_queue() -> None:
    async def run() -> None:
        pace = make(tokens=6000, most=3)  # 100 at once, 97 per second
        tasks = await queued(pace, 1, tokens=100) + await queued(pace, 1, tokens=100) + await queued(pace, 1, tokens=0)
        assert started(tasks) == [True, False, False]
        await asyncio.sleep(1.1)
        assert started(tasks) == [True, True, True]

    virtually(run)


def test_a_waiter_who_leaves_makes_room_for_the_next() -> None:
    async def run() -> None:
        pace = make(tokens=6000)
        first, large, small = await queued(pace, 1, tokens=500) + await queued(pace, 1, tokens=100) + await queued(pace, 1, tokens=1)
        large.cancel()
        begun = now()
        await asyncio.sleep(0)
        assert pace.waiting == 1
        await small
        assert now() - begun == pytest.approx(401 / 97)
        assert first.done() and pace.waiting == 0 and pace.in_flight == 2

    virtually(run)


def test_a_waiter_who_leaves_from_the_middle_is_no_longer_counted() -> None:
    async def run() -> None:
        pace = make(most=1)
        tasks = await queued(pace, 4)
        tasks[2].cancel()
        await asyncio.wait([tasks[2]])
        assert pace.waiting == 2

    virtually(run)


def test_a_waiter_who_leaves_between_grant_and_waking_gives_the_turn_back() -> None:
    async def run() -> None:
        pace = make(requests=60, tokens=6000, most=1)
        holder, granted, after = await queued(pace, 3, tokens=100)
        await asyncio.sleep(10)
        pace.finish(holder.result(), 200, {}, 100)
        granted.cancel()
        begun = now()
        await after
        assert now() == begun, "the turn, its request and its tokens were all given back"
        assert granted.cancelled() and pace.in_flight == 1

    virtually(run)


def test_a_turn_given_back_is_no_start_at_the_learned_rate_either() -> None:
    async def run() -> None:
        pace = make(most=1)
        for status in (429, 200, 429):
            turn = await pace.start(1)
            await asyncio.sleep(2)
            pace.finish(turn, status, {}, 1)
        holder, granted, after = await queued(pace, 3)
        await holder
        await asyncio.sleep(60)
        pace.finish(holder.result(), None, {}, 1)
        granted.cancel()
        begun = now()
        await after
        assert now() == begun

    virtually(run)


def test_leaving_at_random_loses_no_turn() -> None:
    async def run() -> None:
        pace = make(requests=600, tokens=60_000, most=4)

        async def call(i: int) -> None:
            turn = await pace.start(100)
            try:
                await asyncio.sleep(0.3)
            finally:
                pace.finish(turn, 200 if i % 3 else None, {}, None)

        tasks = [asyncio.create_task(call(i)) for i in range(300)]
        for i, task in enumerate(tasks):
            if i % 2:
                await asyncio.sleep(0.013)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (pace.waiting, pace.in_flight) == (0, 0)
        assert sum(not task.cancelled() for task in tasks) >= 150
        pace.finish(await pace.start(1), 200, {}, 1)

    virtually(run)


def test_unused_tokens_come_back_at_the_end_of_the_call() -> None:
    async def run() -> None:
        pace = make(tokens=6000)
        first, second = await queued(pace, 2, tokens=5000)
        await asyncio.sleep(1)
        pace.finish(first.result(), 200, {}, 50)
        await asyncio.sleep(0)
        assert second.done()
        third = (await queued(pace, 1, tokens=1))[0]
        pace.finish(second.result(), None, {}, None)
        await asyncio.sleep(40)
        assert not third.done(), "what a call without usage took is not known, so the estimate stays taken"
        await third

    virtually(run)


def test_retry_after_holds_everyone_in_full_and_hardly_longer() -> None:
    async def run() -> None:
        pace = make(most=2)
        first, second, third = await queued(pace, 3)
        begun = now()
        pace.finish(first.result(), 429, {"retry-after": "20"}, None)
        assert 20 <= pace.pause_s <= 20.1
        pace.finish(second.result(), 429, {"retry-after": "3"}, None)
        newcomer = (await queued(pace, 1))[0]
        await asyncio.sleep(19.99)
        assert not third.done()
        pace.finish(await third, 200, {}, 1)
        assert 20 <= now() - begun <= 20.1
        await newcomer
        assert pace.pause_s == 0

    virtually(run)


def test_a_429_that_says_nothing_lowers_the_limit_and_pauses_nothing() -> None:
    async def run() -> None:
        pace = make()
        tasks = await queued(pace, 4)
        for task in tasks:
            pace.finish(task.result(), 429, {}, None)
        assert pace.limit == 2
        assert started(await queued(pace, 3)) == [True] * 2 + [False]

    virtually(run)


def test_an_announced_remainder_of_zero_holds_until_the_reset() -> None:
    async def run() -> None:
        pace, begun = make(), now()
        turn = await pace.start(1)
        await asyncio.sleep(2)
        pace.finish(turn, 200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12s"}, 1)
        await pace.start(1)
        assert now() - begun == pytest.approx(12)

    virtually(run)


def test_an_announced_remainder_of_tokens_holds_what_is_larger() -> None:
    async def run() -> None:
        pace, begun = make(), now()
        pace.finish(await pace.start(10), 200, {"x-ratelimit-remaining-tokens": "50", "x-ratelimit-reset-tokens": "12s"}, 10)
        await pace.start(40)
        assert now() == begun
        await pace.start(20)
        assert now() - begun == pytest.approx(12)

    virtually(run)


@pytest.mark.parametrize(("status", "grows"), [(200, True), (400, False), (500, False), (None, False)])
def test_only_success_lets_the_limit_grow(status: int | None, grows: bool) -> None:
    async def run() -> None:
        pace = make()
        for task in await queued(pace, 4):
            pace.finish(task.result(), status, {}, 1)
        assert (pace.limit > 4) == grows

    virtually(run)


async def test_a_turn_without_contention_is_cheap() -> None:
    pace = Pace(requests_per_minute=1e9, tokens_per_minute=1e12, max_concurrency=64)
    best = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(500):
            pace.finish(await pace.start(100), 200, {}, 50)
        best = min(best, (time.perf_counter() - begun) / 500)
    assert best < 40e-6, "about 4 µs on an idle machine"
