"""What an upstream allows of one thing per minute: what was configured, and what its replies announce."""

from collections.abc import Mapping
from math import inf

from services.teacher.pacing.bucket import Bucket
from services.teacher.pacing.retry_after import duration_s, number

# Some upstreams reset when their bucket is full again, which for a limit per day is a day although calls are possible sooner.
_LONGEST_HOLD_S = 60.0


class Quota:
    """Requests or tokens per minute. Without a configured or an announced limit everything may be taken.

    Read are OpenAI's headers `x-ratelimit-{limit,remaining,reset}-KIND`. They were written when the upstream let the call in,
    and the reply may come much later. So the reset counts from the call's start, and what was taken since then is subtracted
    from the remainder. News of a call is void when one that started later has been heard.

    A remainder of 0 holds calls back until the reset only where the limit is not known or the upstream has refused a call.
    Else the even flow suffices, and a reset may be the time until the upstream's limiter is as new (so OpenAI's), which is
    long after the next call is possible.
    """

    def __init__(self, kind: str, per_minute: float | None, now: float) -> None:
        """`kind` is `requests` or `tokens`; `per_minute` is the configured limit, None for none."""
        self._headers = f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"
        self._configured = inf if per_minute is None else per_minute
        self._bucket = None if per_minute is None else Bucket(per_minute, now)
        self._announced = ""
        self._taken = 0
        self._heard = 0
        self._remaining = 0.0
        self._resets_at = -inf

    def wait_s(self, amount: int, now: float) -> float:
        """Seconds until `amount` may be taken, 0 or less for at once."""
        wait_s = 0.0 if self._bucket is None else self._bucket.wait_s(amount, now)
        if self._resets_at > now and self._remaining < amount:
            return max(wait_s, self._resets_at - now)
        return wait_s

    def take(self, amount: int) -> int:
        """Take `amount`; returns all that was ever taken, by which `hear` tells the order of calls."""
        if self._bucket is not None:
            self._bucket.take(amount)
        self._remaining -= amount
        self._taken += amount
        return self._taken

    def give_back(self, amount: int, now: float) -> None:
        """Undo part of a `take`. The announced remainder is left alone: the upstream may have counted the whole."""
        if self._bucket is not None:
            self._bucket.give_back(amount, now)

    def hear(self, headers: Mapping[str, str], taken: int, started: float, now: float, refused: bool = False) -> None:
        """Learn from the reply to a call that began at `started`, when `take` had returned `taken`. Unreadable headers say nothing.

        `refused` is for a call that was turned away without being told when to come back.
        """
        limit_name, remaining_name, reset_name = self._headers
        limit = headers.get(limit_name)
        if limit is not None and limit != self._announced:
            self._announced = limit
            self._limit(number(limit), now)
        text = headers.get(remaining_name)
        if text is None or taken < self._heard:
            return
        remaining, reset_s = number(text), duration_s(headers.get(reset_name, ""))
        if remaining is not None and reset_s is not None:
            self._heard = taken
            self._remaining = remaining - (self._taken - taken)
            self._resets_at = started + min(reset_s, _LONGEST_HOLD_S) if refused or self._bucket is None else -inf

    def _limit(self, announced: float | None, now: float) -> None:
        if not announced:
            return
        per_minute = min(announced, self._configured)
        if self._bucket is None:
            self._bucket = Bucket(per_minute, now)
            self._bucket.take(max(1.0, per_minute / 60, min(self._taken, per_minute / 4)))  # the calls so far, as far as they are its burst
        self._bucket.set_allowance(per_minute)
