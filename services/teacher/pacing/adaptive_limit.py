"""How many calls may be under way at once, found by trying."""

_MODEST = 4
_CEILING = 64
_DECREASE = 0.7


class AdaptiveLimit:
    """Starts at what the user vouches for, else at 4, and doubles each round until the first refusal (429). From then on a
    refusal takes off 30 %, and as many successes in a row as the limit is high add 1. It grows only while calls use it up, or
    it would say nothing.
    """

    def __init__(self, configured: int | None) -> None:
        """`configured` is the ceiling, from which it starts; None starts at 4 and ends at 64."""
        self._ceiling = configured or _CEILING
        self._value = configured or _MODEST
        self._doubling = True
        self._successes = 0
        self._decreased_after = 0

    @property
    def value(self) -> int:
        return self._value

    def succeeded(self, under_way: int) -> None:
        """One of `under_way` calls went well."""
        if self._value >= self._ceiling or under_way < self._value:
            return
        self._successes += 1
        if self._doubling or self._successes >= self._value:
            self._value += 1
            self._successes = 0

    def failed(self) -> None:
        """A call failed otherwise than by a refusal for its rate: a row of successes ends."""
        self._successes = 0

    def refused(self, call: int, latest: int) -> bool:
        """A 429 for the `call`-th call of all, when `latest` calls had been started. False if it tells nothing new.

        A limit that is too high is refused many times at once, so calls from before the last decrease do not count again.
        """
        self._successes = 0
        if call <= self._decreased_after:
            return False
        self._decreased_after = latest
        self._doubling = False
        self._value = max(1, int(self._value * _DECREASE))
        return True
