"""Whose turn it is at the engine: so many requests at a time, so many more that wait, and no others."""

import asyncio
import math
import time
from collections import deque
from types import TracebackType

from askback.contracts.errors import TooManyRequests

_SMOOTHING = 0.05  # weight of the newest turn in the mean, which so follows the last few dozen


class Turns:
    """`async with turns.turn():` is one turn. First come, first served; who is cancelled while waiting leaves the queue."""

    def __init__(self, max_concurrency: int, max_queue: int) -> None:
        self._most, self._longest = max_concurrency, max_queue
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_s = 1.0
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def turn(self) -> "Turn":
        """One turn, to be taken by `async with`; raises TooManyRequests when the queue is full."""
        return Turn(self)

    async def take(self) -> None:
        """Wait for a turn; raises TooManyRequests when the queue is full."""
        if self.in_flight < self._most:
            self.in_flight += 1
            return
        if len(self._waiting) >= self._longest:
            raise self._full()
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._pass_on()  # the turn came in the same moment
            elif mine in self._waiting:
                self._waiting.remove(mine)
            raise

    def give(self, seconds: float) -> None:
        """End a turn that took `seconds`."""
        self._mean_s += _SMOOTHING * (seconds - self._mean_s)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            first = self._waiting.popleft()
            if not first.cancelled():
                first.set_result(None)
                return
        self.in_flight -= 1

    def _full(self) -> TooManyRequests:
        error = TooManyRequests(
            f"{self.in_flight} requests are at the engine and {self.waiting} wait; send fewer at a time, or raise MAX_QUEUE or MAX_CONCURRENCY"
        )
        error.retry_after_s = min(60, max(1, math.ceil(self.waiting * self._mean_s / self._most)))
        return error


class Turn:
    """One turn; see Turns."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def __aenter__(self) -> None:
        await self._turns.take()
        self._began = time.monotonic()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._turns.give(time.monotonic() - self._began)
