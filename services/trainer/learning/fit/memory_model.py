"""Predict a pass's memory from a few measured ones: linear in its rows, and between two landings linear in the layers that save."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.trainer.learning.fit.ladder import Ladder

Measure = Callable[[int, int], float | None]
"""(rows, rung) -> most bytes of a forward and backward pass over the longest rows, or None when memory ran out."""

ROWS = (1, 3)
"""Sizes that are measured; what does not grow with the rows (dequantised weights, workspaces) is in both."""


@dataclass(frozen=True)
class MemoryModel:
    ladder: Ladder
    lines: dict[int, tuple[float, float]]
    """By landing: (bytes of no rows, bytes of each row). A landing on which memory ran out is missing."""

    def peak(self, rows: int, rung: int) -> float:
        """Predicted bytes; infinite where a landing beside `rung` could not be measured."""
        lower = rung - rung % self.ladder.layers
        beside = [lower] if lower == rung else [lower, lower + self.ladder.layers]
        if any(landing not in self.lines for landing in beside):
            return float("inf")
        ends = [self.lines[landing][0] + rows * self.lines[landing][1] for landing in beside]
        return ends[0] + (ends[-1] - ends[0]) * (rung - lower) / self.ladder.layers


def measured(ladder: Ladder, measure: Measure, landings: Sequence[int]) -> MemoryModel:
    """Measure a pass of each size in `ROWS` on each of `landings`."""
    lines = {}
    for landing in landings:
        few, more = (measure(rows, landing) for rows in ROWS)
        if few is not None and more is not None:
            each = (more - few) / (ROWS[1] - ROWS[0])
            lines[landing] = (few - ROWS[0] * each, each)
    return MemoryModel(ladder, lines)
