"""A request rate learned from refusals (429), for upstreams that do not say their limit."""

from collections import deque
from math import inf

from services.teacher.pacing.bucket import Bucket

_MINUTE_S = 60
_SHORTEST_S, _LONGEST_S = 1.0, 300.0  # between two refusals: less is no measure, and in more the upstream was hardly tried
_LEAST = 3.0  # per minute; few calls may also mean that few were wanted


class LearnedRate:
    """Between two refusals an upstream has given what it had, so the successes in between, over the time, are its limit.

    An upstream that counts by the minute gives it all in a burst and then refuses for long; hence the successes of the last
    minute are a limit too, and the higher of both holds. From a refusal on the rate grows with the cube of time: hardly for
    half a minute, double after one, ninefold after two. So a right rate is tested now and then, and a wrong one soon forgotten.
    """

    def __init__(self) -> None:
        self._bucket: Bucket | None = None
        self._per_minute = 0.0
        self._refused_at = -inf
        self._since = 0
        self._seconds: deque[list[int]] = deque()  # [second, successes in it]

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may start, 0 for at once or as long as nothing was learned."""
        if self._bucket is None:
            return 0.0
        self._bucket.set_allowance(self._allowance(now))
        return self._bucket.wait_s(1, now)

    def take(self) -> None:
        """A request starts."""
        if self._bucket is not None:
            self._bucket.take(1)

    def give_back(self, now: float) -> None:
        """A request that was about to start will not."""
        if self._bucket is not None:
            self._bucket.give_back(1, now)

    def succeeded(self, now: float) -> None:
        """A request was let in and answered."""
        self._since += 1
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
            return
        self._seconds.append([second, 1])
        self._forget(second)

    def refused(self, now: float) -> None:
        """The first refusal of a burst; further ones tell nothing."""
        since_s = now - self._refused_at
        if since_s > _LONGEST_S:
            self._bucket = None
            self._refused_at, self._since = now, 0
            return
        if not self._since or since_s < _SHORTEST_S:
            return
        self._forget(int(now))
        measured = max(_LEAST, sum(count for _, count in self._seconds), self._since * 60 / since_s)
        if self._bucket is None:
            self._per_minute = measured
            self._bucket = Bucket(measured, now)
            self._bucket.take(max(1.0, measured / 60))
        else:
            self._per_minute = min(measured, self._allowance(now))
        self._refused_at, self._since = now, 0

    def _allowance(self, now: float) -> float:
        return self._per_minute * (1 + ((now - self._refused_at) / _MINUTE_S) ** 3)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - _MINUTE_S:
            self._seconds.popleft()
