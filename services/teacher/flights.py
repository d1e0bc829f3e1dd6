"""Single flight: identical calls under way are made once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from askback.contracts.errors import ServiceError

T = TypeVar("T")
Emit = Callable[[bytes], None]
"""Passes on one chunk of a streamed answer as it arrives."""
logger = logging.getLogger(__name__)


class Flight(Generic[T]):
    """One call under way, and what it has streamed so far. It outlives its callers, so that what was paid for is kept."""

    def __init__(self, key: str, payer: str) -> None:
        self.key, self.payer = key, payer
        self.streaming = False
        self.task: asyncio.Task[T]
        self._chunks: list[bytes] = []
        self._news = asyncio.Event()

    def emit(self, chunk: bytes) -> None:
        """Hand a chunk to all who follow."""
        self._chunks.append(chunk)
        self._wake()

    def _wake(self, _: object = None) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def begun(self) -> bool:
        """Wait for the first chunk or the end; whether there is more to come."""
        while not self._chunks and not self.task.done():
            await self._news.wait()
        return not self.task.done()

    async def result(self) -> T:
        """The call's result; a caller that gives up leaves the call under way."""
        return await asyncio.shield(self.task)

    async def follow(self) -> AsyncIterator[bytes]:
        """The chunks from the first one on, those to come as they come; raises what the call raises."""
        at = 0
        while True:
            while at < len(self._chunks):
                yield self._chunks[at]
                at += 1
            if self.task.done():
                self.task.result()
                return
            await self._news.wait()


class Flights(Generic[T]):
    """Calls under way by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    def join(self, key: str) -> Flight[T] | None:
        """The call with this key that is under way."""
        return self._flights.get(key)

    def start(self, key: str, payer: str, streaming: bool, call: Callable[[Emit], Coroutine[Any, Any, T]]) -> Flight[T]:
        """Start `call(emit)`; there must be none with this key."""
        flight: Flight[T] = Flight(key, payer)
        flight.streaming = streaming
        flight.task = asyncio.create_task(call(flight.emit), name=f"flight {key[:12]}")
        self._flights[key] = flight
        flight.task.add_done_callback(lambda done: self._land(flight, done))
        return flight

    async def settle(self, timeout_s: float) -> int:
        """Wait for the calls under way; returns how many were still not done."""
        waiting: list[Awaitable[T]] = [flight.task for flight in self._flights.values()]
        if not waiting:
            return 0
        _, pending = await asyncio.wait([asyncio.ensure_future(task) for task in waiting], timeout=timeout_s)
        return len(pending)

    def __len__(self) -> int:
        return len(self._flights)

    def _land(self, flight: Flight[T], task: asyncio.Task[T]) -> None:
        del self._flights[flight.key]
        flight._wake()
        if task.cancelled():
            return
        error = task.exception()  # also looked at because every caller may have hung up
        if error is not None and not isinstance(error, ServiceError):
            logger.error("%s failed", task.get_name(), exc_info=error)
