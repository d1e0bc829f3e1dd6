"""Numbers to pixels, with round ticks."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high`, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def at(self, value: float) -> float:
        """The pixel of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + i * self.step for i in range(count + 1)]

    def label(self, value: float, *, signed: bool = False) -> str:
        """A tick in as many places as its step needs."""
        places = max(0, -math.floor(math.log10(self.step) + 1e-9))
        shown = value if abs(value) > self.step / 1000 else 0.0
        return f"{shown:{'+' if signed and shown else ''},.{places}f}"


def scale(low: float, high: float, start: float, end: float, most: int = 7) -> Scale:
    """A scale that holds [low, high] between round ends, with at most `most` steps."""
    span = high - low if high > low else abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / most))
    step = next(size * times for times in (1, 2, 2.5, 5, 10, 20) if span / (size * times) <= most)
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Scale(bottom, top if top > bottom else bottom + step, start, end, step)
