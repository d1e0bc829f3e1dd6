"""The way to one upstream: whether it is open, whose turn it is, and what each try there came to."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from askback.contracts.errors import DeadlineExceeded
from services.teacher.answers.completion import used_by
from services.teacher.flights import Emit
from services.teacher.pacing.breaker import Breaker
from services.teacher.pacing.pace import Pace
from services.teacher.pacing.pace import Turn as Right
from services.teacher.upstream.protocol import Lost, Refused, Reply, TryFailed, Upstream


class Meters(Protocol):
    """What is counted of the upstreams."""

    def tried(self, backend: str, outcome: str, seconds: float) -> None:
        """One try ended; `outcome` is its HTTP status, `lost` or `not_sent`."""

    def booked(self, backend: str, prompt_tokens: int, completion_tokens: int, usd: float) -> None:
        """One try was paid for."""


@dataclass
class Turn:
    """The right to send one request until `ends`; the rest is filled in by `Lane.send`."""

    ends: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: int | None = None
    outcome: str = ""


class Lane:
    """One upstream behind its breaker and its pace."""

    def __init__(self, name: str, upstream: Upstream, pace: Pace, breaker: Breaker, meters: Meters, timeout_s: float) -> None:
        """`timeout_s` is what one try may take."""
        self.name, self.pace, self.breaker = name, pace, breaker
        self._upstream, self._meters, self._timeout_s = upstream, meters, timeout_s

    @asynccontextmanager
    async def turn(self, tokens: int, ends: float) -> AsyncIterator[Turn]:
        """Wait for the right to send one request of at most `tokens`; `ends` is on the event loop's clock.

        Raises UpstreamUnavailable while the breaker is open, DeadlineExceeded when the turn does not come in time.
        """
        if self.breaker.state == "open":
            self.breaker.check()  # raises, so that nobody queues for an upstream that is down
        turn, right = Turn(ends), await self._right(tokens, ends)
        try:
            self.breaker.check()
            try:
                yield turn
            finally:
                self._tell_breaker(turn)
        finally:
            self.pace.finish(right, turn.status, turn.headers, turn.tokens)

    async def _right(self, tokens: int, ends: float) -> Right:
        try:
            async with asyncio.timeout_at(ends):
                return await self.pace.start(tokens)
        except TimeoutError:
            error = DeadlineExceeded(f"backend {self.name!r}: {self.pace.waiting} requests wait for its limits; the deadline came first")
            error.retry_after_s = self.pace.pause_s or None
            raise error from None

    async def send(self, turn: Turn, body: bytes, emit: Emit | None) -> Reply:
        """Use the turn; raises TryFailed."""
        started = time.perf_counter()
        left = turn.ends - asyncio.get_running_loop().time()
        turn.outcome = "cancelled"
        try:
            reply = await self._upstream.send(body, min(self._timeout_s, max(left, 0.001)), emit)
            turn.outcome, turn.status, turn.headers = "200", 200, reply.headers
            used = used_by(reply.completion)
            turn.tokens = used.prompt + used.completion if used else None
            return reply
        except TryFailed as failure:
            turn.headers = failure.headers
            turn.status = failure.status if isinstance(failure, Refused) else None
            turn.tokens = 0 if turn.status == 429 else None  # an upstream does not count what it refused
            turn.outcome = str(turn.status or ("lost" if isinstance(failure, Lost) else "not_sent"))
            raise
        finally:
            self._meters.tried(self.name, turn.outcome, time.perf_counter() - started)

    def _tell_breaker(self, turn: Turn) -> None:
        if turn.outcome in ("", "cancelled", "429"):
            self.breaker.abandoned()
        elif turn.outcome in ("lost", "not_sent") or turn.outcome.startswith("5"):
            self.breaker.failed()
        else:
            self.breaker.succeeded()
