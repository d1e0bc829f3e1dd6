"""Bounded concurrency over independent pieces of work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_AT_ONCE = 4


async def concurrently(limit: int, items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """`work` on every item in order, at most `limit` at a time. The first error stops the rest and is raised as it is."""
    left = iter(items)

    async def worker(number: int) -> None:
        for _ in range(number // _AT_ONCE):  # so that the first items are at their second step before the last have begun
            await asyncio.sleep(0)
        for item in left:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(limit):
                group.create_task(worker(number))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
