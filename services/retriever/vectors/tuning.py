"""The cheapest search that reaches a recall: chosen on one half of the held-out queries, verified on the other."""

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from services.retriever.vectors.cascade import AT, CascadeIndex, Depth
from services.retriever.vectors.held_out import HeldOut

_PROBES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 896, 1024, 1280, 1536, 2048, 3072, 4096)
_CANDIDATES = (50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2500)
_KEPT = (12, 15, 20, 30, 40, 60)
_LOOKED_AT = 5
"""Numbers of lists that are timed, from the least that reaches the target on: with more lists fewer candidates may do."""
_TIMED = 64
_SHORT_OF_BEST = 0.005
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Choice:
    depth: Depth
    recall_chosen: float
    recall_verified: float
    cpu_ms: float


def choose(index: CascadeIndex, held_out: HeldOut, lists: int, target: float, progress: Callable[[int, int], None]) -> Choice:
    """The depth of the least processor time whose recall at 10 reaches `target` by two standard errors on the half that is chosen on.

    So the other half reaches it too, most of the time. A target out of reach is replaced by what can be reached, less half a point.
    """
    chosen_on, verified_on = held_out.halves()
    tried = _Tried(index, chosen_on, progress)
    grid = [probes for probes in _PROBES if probes <= lists]
    best, error = tried.recall(_deepest(grid[-1]))
    margin = _STANDARD_ERRORS
    if best - margin * error < target:
        target, margin = best - _SHORT_OF_BEST, 0.0

    def reaches(depth: Depth) -> bool:
        recall, error = tried.recall(depth)
        return recall - margin * error >= target

    first = bisect_left(grid, True, key=lambda probes: reaches(_deepest(probes)))
    depths = [_least(probes, reaches) for probes in grid[first : first + _LOOKED_AT]]
    cost, depth = min(((cpu_ms(index.at(depth), chosen_on), depth) for depth in depths), key=lambda pair: pair[0])
    verified = verified_on.recalls(index.at(depth).search(verified_on.queries, AT))
    return Choice(depth, tried.recall(depth)[0], float(verified.mean()), cost)


def cpu_ms(index: CascadeIndex, held_out: HeldOut) -> float:
    """Median processor time of one query, alone, in ms."""
    spent = []
    for query in held_out.queries[:_TIMED]:
        begin = time.process_time()
        index.search(query[None], AT)
        spent.append(time.process_time() - begin)
    return median(spent) * 1e3


def _deepest(probes: int) -> Depth:
    return Depth(probes, _CANDIDATES[-1], _KEPT[-1])


def _least(probes: int, reaches: Callable[[Depth], bool]) -> Depth:
    """The fewest candidates that reach with `probes`, then the fewest kept of them."""
    candidates = _first(_CANDIDATES, lambda number: reaches(Depth(probes, number, _KEPT[-1])))
    return Depth(probes, candidates, _first(_KEPT, lambda number: reaches(Depth(probes, candidates, number))))


def _first(options: tuple[int, ...], reaches: Callable[[int], bool]) -> int:
    """The first that reaches, where all after it do; the last where none does."""
    return options[min(bisect_left(options, True, key=reaches), len(options) - 1)]


class _Tried:
    """Recalls of depths on one set of queries, each searched once."""

    def __init__(self, index: CascadeIndex, held_out: HeldOut, progress: Callable[[int, int], None]) -> None:
        self._index = index
        self._held_out = held_out
        self._progress = progress
        self._recalls: dict[Depth, tuple[float, float]] = {}

    def recall(self, depth: Depth) -> tuple[float, float]:
        """Mean and its standard error."""
        if depth not in self._recalls:
            recalls = self._held_out.recalls(self._index.at(depth).search(self._held_out.queries, AT))
            self._recalls[depth] = float(recalls.mean()), float(recalls.std() / np.sqrt(len(recalls)))
            self._progress(len(self._recalls), 0)
        return self._recalls[depth]
