"""Turns at the engine: their number, their order, and what becomes of those who do not wait."""

import asyncio

import pytest

from askback.contracts.errors import TooManyRequests
from services.student.turns import Turns


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served_and_never_more_than_the_limit() -> None:
    turns, order, release = Turns(2, 10), list[int](), asyncio.Event()

    async def work(number: int) -> None:
        async with turns.turn():
            order.append(number)
            assert turns.in_flight <= 2
            await release.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(6)]
    await settle()
    assert (order, turns.in_flight, turns.waiting) == ([0, 1], 2, 4)
    release.set()
    await asyncio.gather(*tasks)
    assert (order, turns.in_flight, turns.waiting) == ([0, 1, 2, 3, 4, 5], 0, 0)


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    turns = Turns(1, 2)
    await turns.take()
    waiting = [asyncio.create_task(turns.take()) for _ in range(2)]
    await settle()
    with pytest.raises(TooManyRequests, match="1 requests are at the engine and 2 wait") as raised:
        await turns.take()
    assert raised.value.retry_after_s == 2  # two wait, and until a turn has ended each is taken to need a second
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert turns.waiting == 0


async def test_who_leaves_the_queue_frees_the_place_and_takes_no_turn() -> None:
    turns = Turns(1, 1)
    await turns.take()
    leaves = asyncio.create_task(turns.take())
    await settle()
    leaves.cancel()
    await settle()
    stays = asyncio.create_task(turns.take())
    await settle()
    turns.give(0.1)
    await asyncio.wait_for(stays, 1)
    turns.give(0.1)
    assert (turns.in_flight, turns.waiting) == (0, 0)


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_a_turn_that_comes_as_its_taker_leaves_goes_to_the_next(leaves_first: bool) -> None:
    turns = Turns(1, 5)
    await turns.take()
    leaves, stays = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await settle()
    steps = [leaves.cancel, lambda: turns.give(0.1)]
    for step in steps if leaves_first else reversed(steps):
        step()
    await asyncio.wait_for(stays, 1)
    assert leaves.cancelled()
    turns.give(0.1)
    assert (turns.in_flight, turns.waiting) == (0, 0)


async def test_a_turn_ends_with_its_block_whatever_happens() -> None:
    turns = Turns(1, 0)
    with pytest.raises(ZeroDivisionError):
        async with turns.turn():
            raise ZeroDivisionError
    await turns.take()
    with pytest.raises(TooManyRequests):
        async with turns.turn():
            pass
    assert turns.in_flight == 1
