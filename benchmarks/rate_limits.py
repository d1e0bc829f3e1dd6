"""How upstreams limit requests per minute, and what they announce of it. Times are seconds of any steady clock."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Clock = Callable[[], float]
WINDOW_S = 60.0


@dataclass(frozen=True)
class Ruling:
    """What becomes of one call, and the limiter's state after it."""

    admitted: bool
    remaining: int
    retry_s: float
    """Until a call is admitted again; 0 when one would be at once."""
    reset_s: float
    """What is announced as the reset: until the limiter is as if it had never been called, as OpenAI documents it."""


class Limiter(Protocol):
    """Decides on calls."""

    def call(self) -> Ruling:
        """Admit or refuse a call made now."""


@dataclass
class TokenBucket:
    """`per_minute` calls may come at once, then one each time that a token drops in; refused calls cost none."""

    per_minute: int
    clock: Clock
    _level: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._level, self._at = float(self.per_minute), self.clock()

    def call(self) -> Ruling:
        """Admit or refuse a call made now."""
        now, rate = self.clock(), self.per_minute / WINDOW_S
        self._level = min(self.per_minute, self._level + (now - self._at) * rate)
        self._at = now
        admitted = self._level >= 1
        self._level -= admitted
        return Ruling(admitted, int(self._level), max(0.0, 1 - self._level) / rate, (self.per_minute - self._level) / rate)


@dataclass
class SlidingWindow:
    """At most `per_minute` admitted calls in any 60 s; refused calls do not count.

    With `resets_with_next` the announced reset is when the oldest call leaves the window, as some upstreams mean it.
    """

    per_minute: int
    clock: Clock
    resets_with_next: bool = False
    _admitted: deque[float] = field(init=False, default_factory=deque)

    def call(self) -> Ruling:
        """Admit or refuse a call made now."""
        now, calls = self.clock(), self._admitted
        while calls and calls[0] <= now - WINDOW_S:
            calls.popleft()
        admitted = len(calls) < self.per_minute
        if admitted:
            calls.append(now)
        remaining = self.per_minute - len(calls)
        next_s, empty_s = calls[0] + WINDOW_S - now, calls[-1] + WINDOW_S - now
        return Ruling(admitted, remaining, 0.0 if remaining else next_s, next_s if self.resets_with_next else empty_s)


def announcement(per_minute: int, ruling: Ruling) -> Mapping[str, str]:
    """The headers of a response after `ruling`, in OpenAI's form; Retry-After comes with refusals alone."""
    headers = {
        "x-ratelimit-limit-requests": str(per_minute),
        "x-ratelimit-remaining-requests": str(ruling.remaining),
        "x-ratelimit-reset-requests": duration(ruling.reset_s),
    }
    if not ruling.admitted:
        headers |= {"retry-after": str(math.ceil(ruling.retry_s)), "retry-after-ms": str(math.ceil(ruling.retry_s * 1000))}
    return headers


def duration(seconds: float) -> str:
    """`seconds` as OpenAI writes it: `0s`, `250ms`, `1.5s` or `1m0.5s`."""
    ms = math.ceil(seconds * 1000)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest / 1000:g}s"
