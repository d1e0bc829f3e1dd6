"""Choose the passes of a step: as many rows at once as trains fastest, with the least computed twice, within the card's memory.

A pass of few rows leaves a large card waiting for its launches; a pass of many rows needs more memory and so computes more twice. Which of
the two costs more depends on the card and the model, so the candidates that fit are timed.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from askback.contracts.trainer import FitPlan
from services.trainer.learning.fit.ladder import Ladder, Saving
from services.trainer.learning.fit.memory_model import MemoryModel, measured

log = logging.getLogger(__name__)

GIB = 2**30
CLIMBS = 6
"""Times that a candidate which needs more than predicted may save more before it is given up."""


class Probe(Protocol):
    """Runs passes of the real model over real rows."""

    ladder: Ladder
    budget: float
    """Bytes that a pass may use, all that is allocated already included."""

    def needed(self, rows: int, rung: int) -> float | None:
        """Bytes that the tensors of a pass over the `rows` longest rows take at its peak, or None when memory ran out."""

    def peak(self, rows: int, rung: int) -> float | None:
        """Bytes that the process holds for that pass, with what lies unused between the tensors; None when memory ran out."""

    def seconds(self, rows: int, rung: int) -> float:
        """Seconds of a pass over `rows` rows of usual length."""


@dataclass(frozen=True)
class _Candidate:
    rows: int
    rung: int
    peak: float
    rows_per_s: float


def planned(step_rows: int, probe: Probe, rungs: tuple[int, int]) -> FitPlan:
    """The plan for steps of `step_rows` rows on one card, from the lowest to the highest of `rungs`.

    Raises MemoryError when not one row fits.
    """
    tried: list[_Candidate] = []
    for candidate in _candidates(step_rows, probe, rungs):
        log.info("fit: %s", _told(candidate, probe.ladder))
        tried.append(candidate)
        if candidate.rung == rungs[0] or (len(tried) > 1 and candidate.rows_per_s <= tried[-2].rows_per_s):
            break  # smaller passes save nothing more, or lose more to their launches than they gain
    if not tried:
        raise MemoryError(f"one row does not fit the {probe.budget / GIB:.1f} GiB that the card has to give")
    return _plan(max(tried, key=lambda one: one.rows_per_s), tried, step_rows, probe)


def _candidates(step_rows: int, probe: Probe, rungs: tuple[int, int]) -> Iterator[_Candidate]:
    """Passes that fit, largest first, each on its cheapest rung; measures no more than is asked for."""
    low, high = rungs
    landings = [landing for landing in probe.ladder.landings if low <= landing <= high]
    model = measured(probe.ladder, probe.needed, landings[:1])
    if model.peak(step_rows, low) > probe.budget:
        model = MemoryModel(probe.ladder, model.lines | measured(probe.ladder, probe.needed, landings[1:]).lines)
    for rows in (size for size in range(step_rows, 0, -1) if step_rows % size == 0):
        rung = next((rung for rung in range(low, high + 1) if model.peak(rows, rung) <= probe.budget), None)
        found = None if rung is None else _checked(rows, rung, rungs, probe, model)
        if found:
            yield _Candidate(rows, *found, rows / probe.seconds(rows, found[0]))


def _checked(rows: int, rung: int, rungs: tuple[int, int], probe: Probe, model: MemoryModel) -> tuple[int, float] | None:
    """(rung, peak) as measured: higher where the pass needs more than predicted, lower where it needs less; None when it does not fit."""
    low, high = rungs
    for _ in range(CLIMBS):
        peak = probe.peak(rows, rung)
        if peak is not None and peak <= probe.budget:
            return _lightened(rows, rung, peak, low, probe, model)
        if rung == high:
            break
        rung = min(high, rung + max(1, probe.ladder.layers // 7))
    return None


def _lightened(rows: int, rung: int, peak: float, low: int, probe: Probe, model: MemoryModel) -> tuple[int, float]:
    """(rung, peak) of the same pass after spending what it leaves of the budget: first all of it, by what the model says, then half."""
    here = model.peak(rows, rung)
    for share in (1.0, 0.5):
        spare = share * (probe.budget - peak)
        lower = next((lower for lower in range(low, rung) if model.peak(rows, lower) - here <= spare), rung)
        found = probe.peak(rows, lower) if lower < rung else None
        if found is not None and found <= probe.budget:
            return lower, found
    return rung, peak


def _plan(best: _Candidate, tried: list[_Candidate], step_rows: int, probe: Probe) -> FitPlan:
    others = "; ".join(_told(one, probe.ladder) for one in tried if one is not best)
    return FitPlan(
        micro_batch=best.rows,
        gradient_accumulation=step_rows // best.rows,
        layers=probe.ladder.counts(best.rung),
        budget_gib=round(probe.budget / GIB, 2),
        peak_gib=round(best.peak / GIB, 2),
        rows_per_s=round(best.rows_per_s, 2),
        reason=f"{_told(best, probe.ladder)}, of {probe.budget / GIB:.2f} GiB" + (f"; slower: {others}" if others else ""),
    )


def _told(one: _Candidate, ladder: Ladder) -> str:
    counts = ladder.counts(one.rung)
    saves = ", ".join(f"{counts[saving]} layers save {saving.value}" for saving in (Saving.MLP, Saving.LAYER) if counts[saving])
    return f"{one.rows} rows a pass, {saves or 'nothing computed twice'}: {one.peak / GIB:.2f} GiB, {one.rows_per_s:.1f} rows/s"
