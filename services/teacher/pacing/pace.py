"""When a call to an upstream may start, so that the upstream does not have to refuse it."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.teacher.pacing.adaptive_limit import AdaptiveLimit
from services.teacher.pacing.learned_rate import LearnedRate
from services.teacher.pacing.quota import Quota
from services.teacher.pacing.retry_after import retry_after_s

_TOO_MANY_REQUESTS = 429


class Turn(NamedTuple):
    """Leave for one call. Give it back to `Pace.finish` exactly once, whatever became of the call."""

    started: float
    tokens: int
    """The estimate."""
    requests_taken: int
    tokens_taken: int


class Pace:
    """Lets calls to one upstream start, first come, first served.

    Four things hold a call back: requests and tokens per minute (configured or announced, the lower of both), a rate learned
    from refusals, the pause that a refusal asked for with Retry-After, and a limit on calls under way that adapts itself.
    Belongs to one event loop; not safe for threads.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        max_concurrency: int | None,
        now: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Limits are above 0, or None for not configured. `now` must tell the time as the event loop does; `jitter` draws from 0 to 1."""
        self._now = now
        self._jitter = jitter
        self._requests = Quota("requests", requests_per_minute, now())
        self._tokens = Quota("tokens", tokens_per_minute, now())
        self._learned = LearnedRate()
        self._concurrency = AdaptiveLimit(max_concurrency)
        self._paused_until = now()
        self._started = 0
        self._in_flight = 0
        self._queue: OrderedDict[asyncio.Future[Turn], int] = OrderedDict()  # to the estimate of tokens
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    @property
    def limit(self) -> int:
        """Calls that may be under way at once, as of now."""
        return self._concurrency.value

    @property
    def pause_s(self) -> float:
        """Seconds for which the upstream has asked to be left alone, 0 for none. They may be hours."""
        return max(0.0, self._paused_until - self._now())

    async def start(self, tokens: int) -> Turn:
        """Wait for a turn; `tokens` is an upper estimate of what the call will use. A cancelled wait leaves no trace."""
        now = self._now()
        if not self._queue and self._in_flight < self._concurrency.value and self._wait_s(tokens, now) <= 0:
            return self._grant(tokens, now)
        waiter: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._queue[waiter] = tokens
        if len(self._queue) == 1:
            self._serve(now)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def finish(self, turn: Turn, status: int | None, headers: Mapping[str, str], tokens: int | None) -> None:
        """End a call: HTTP `status` (None for no reply), the reply's headers, and the tokens really used (None if unknown).

        `headers` find their names in lower case. After a 429 without Retry-After nothing is paused: its caller backs off.
        """
        now = self._now()
        unadvised = status == _TOO_MANY_REQUESTS and retry_after_s(headers) is None
        self._requests.hear(headers, turn.requests_taken, turn.started, now, unadvised)
        self._tokens.hear(headers, turn.tokens_taken, turn.started, now, unadvised)
        if tokens is not None:
            self._tokens.give_back(turn.tokens - tokens, now)
        if status == _TOO_MANY_REQUESTS:
            self._refused(turn, headers, now)
        elif status is not None and status < 400:
            self._concurrency.succeeded(self._in_flight)
            self._learned.succeeded(now)
        else:
            self._concurrency.failed()
        self._in_flight -= 1
        if self._queue:
            self._serve(now)

    def _refused(self, turn: Turn, headers: Mapping[str, str], now: float) -> None:
        if self._concurrency.refused(turn.requests_taken, self._started):
            self._learned.refused(now)
        pause_s = retry_after_s(headers)
        if pause_s is not None:  # a little longer, since others were told the same
            self._paused_until = max(self._paused_until, now + pause_s + min(0.1, 0.05 * pause_s) * self._jitter())

    def _wait_s(self, tokens: int, now: float) -> float:
        """Seconds until a call may start, as far as time alone decides."""
        return max(self._paused_until - now, self._requests.wait_s(1, now), self._tokens.wait_s(tokens, now), self._learned.wait_s(now))

    def _grant(self, tokens: int, now: float) -> Turn:
        self._started = self._requests.take(1)
        self._learned.take()
        self._in_flight += 1
        return Turn(now, tokens, self._started, self._tokens.take(tokens))

    def _serve(self, now: float) -> None:
        """Grant turns from the head of the queue. What stops that ends by the timer, or by a `finish`."""
        while self._queue and self._in_flight < self._concurrency.value:
            waiter, tokens = next(iter(self._queue.items()))
            if not waiter.done():
                wait_s = self._wait_s(tokens, now)
                if wait_s > 0:
                    self._wake_at(now + wait_s, wait_s)
                    return
                waiter.set_result(self._grant(tokens, now))
            del self._queue[waiter]

    def _leave(self, waiter: asyncio.Future[Turn]) -> None:
        """A waiter was cancelled: before its turn, or just after it was granted and before it woke."""
        now = self._now()
        self._queue.pop(waiter, None)
        if waiter.done() and not waiter.cancelled():
            self._in_flight -= 1
            self._requests.give_back(1, now)
            self._learned.give_back(now)
            self._tokens.give_back(waiter.result().tokens, now)
        self._serve(now)

    def _wake_at(self, when: float, wait_s: float) -> None:
        if self._timer is not None:
            if self._wakes_at <= when:
                return
            self._timer.cancel()
        self._wakes_at = when
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._serve(self._now())
