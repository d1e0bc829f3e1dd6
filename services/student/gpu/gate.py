"""Lets requests to the engine while it is awake, and gets them out before it sleeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from askback.contracts.errors import UpstreamUnavailable

_END_S = 5.0  # a request that was told to end has its connections to close


class EngineAsleep(UpstreamUnavailable):
    """The engine is not to be asked now; the same request succeeds once it is awake."""

    retry_after_s = 5.0


class Gate:
    """Counts the requests that are at the engine. `why` says, while it is shut, what a refused caller reads."""

    def __init__(self, is_open: bool) -> None:
        self.is_open = is_open
        self.why = "the engine was not found awake yet"
        self._inside: set[asyncio.Timeout] = set()
        self._empty = asyncio.Event()
        self._opener: asyncio.Task[Any] | None = None

    @property
    def inside(self) -> int:
        """Requests at the engine."""
        return len(self._inside)

    def missing(self) -> str:
        """What a readiness check says; empty while the gate is open."""
        return "" if self.is_open else self.why

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Hold one request at the engine for the length of the block.

        Raises EngineAsleep at once where the gate is shut, and in the middle of the block where `shut` lost its patience.
        """
        if not self.is_open and asyncio.current_task() is not self._opener:
            raise EngineAsleep(self.why)
        scope = asyncio.timeout(None)
        self._inside.add(scope)
        self._empty.clear()
        try:
            async with scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise EngineAsleep(self.why) from None
        finally:
            self._inside.discard(scope)
            if not self._inside:
                self._empty.set()

    async def shut(self, why: str, patience_s: float) -> None:
        """Let nobody in any more; return when nobody is inside. Who is still there after `patience_s` gets EngineAsleep."""
        self.is_open, self.why = False, why
        if not await self._is_empty_within(patience_s):
            for scope in self._inside:
                scope.reschedule(asyncio.get_running_loop().time())
            await self._is_empty_within(_END_S)

    async def _is_empty_within(self, seconds: float) -> bool:
        if self._inside:
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                return False
        return True

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Let the current task alone to the engine for the length of the block; opens for everybody at its orderly end."""
        self._opener = asyncio.current_task()
        try:
            yield
        finally:
            self._opener = None
        self.is_open = True
