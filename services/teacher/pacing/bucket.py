"""An allowance per minute, spent evenly."""

_EVENLY = 0.97  # share of the allowance that is handed out; the rest is for the burst and for calls that overtake one another
_BURST_S = 1.0
_ROUNDING = 1e-6  # of the capacity, or a wait could be too short for the clock to notice


class Bucket:
    """Spreads `per_minute` over the minute: one second's worth (at least 1) may be taken at once, the rest comes evenly.

    Burst and flow together stay within `per_minute` in any 60 s. So it does not matter whether the upstream counts in a
    sliding window, in a fixed one, or evenly itself. All times are seconds of one monotonic clock.
    """

    __slots__ = ("_at", "_capacity", "_level", "_per_s")

    def __init__(self, per_minute: float, now: float) -> None:
        """A full bucket; `per_minute` is above 0."""
        self._at = now
        self._level = 0.0
        self.set_allowance(per_minute)
        self._level = self._capacity

    def set_allowance(self, per_minute: float) -> None:
        """Another flow from the last look on; what the bucket holds stays."""
        self._per_s = per_minute * _EVENLY / 60
        self._capacity = max(1.0, per_minute * _BURST_S / 60)

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken, 0 for at once. An amount above the capacity may be taken from a full bucket."""
        self._flow(now)
        short = min(amount, self._capacity) - self._level
        return short / self._per_s if short > _ROUNDING * self._capacity else 0.0

    def take(self, amount: float) -> None:
        """Take `amount`, if need be on debt."""
        self._level -= amount

    def give_back(self, amount: float, now: float) -> None:
        """Undo part of a `take`; below 0 takes more. What exceeds the capacity can be taken at this very instant only."""
        self._flow(now)
        self._level += amount

    def _flow(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._capacity, self._level + (now - self._at) * self._per_s)
            self._at = now
