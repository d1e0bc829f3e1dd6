"""Bounded concurrency over independent pieces of work."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def concurrently(limit: int, items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """`work` on every item, at most `limit` at a time. The first error stops the rest and is raised as it is."""
    gate = asyncio.Semaphore(limit)

    async def gated(item: Item) -> None:
        async with gate:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(gated(item))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
