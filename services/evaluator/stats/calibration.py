"""Whether P(yes) means what it says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from askback.contracts.errors import InvalidInput
from askback.contracts.measures import Calibration, CalibrationBin
from askback.contracts.records import Prediction, Sample
from services.evaluator.stats.intervals import mean, proportion

BINS = 10
"""Of equal width over [0, 1]."""


def calibration(samples: Sequence[Sample], predictions: Sequence[Prediction], seed: int) -> Calibration | None:
    """Over the predictions that have P(yes) and did not fail, in the order of `samples`; None when no prediction has one.

    `seed` is that of the Brier score's bootstrap. Raises InvalidInput when a P(yes) is not in [0, 1].
    """
    said, gold = _told(samples, predictions)
    if not len(said):
        return None
    low_ends = np.arange(BINS) / BINS
    places = np.searchsorted(low_ends, said, side="right") - 1  # by comparison, because 0.29 * 100 is less than 29; the last bin holds 1
    bins = [_bin(i, said[places == i], gold[places == i]) for i in np.unique(places).tolist()]
    return Calibration(
        brier=mean("brier", ((said - gold) ** 2).tolist(), seed),
        expected_error=sum(part.gold_yes.n * abs(part.p_yes - part.gold_yes.value) for part in bins) / len(said),
        bins=bins,
    )


def _told(samples: Sequence[Sample], predictions: Sequence[Prediction]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(yes), and 1 where gold is yes, of the predictions that tell."""
    said, gold = [], []
    for sample, prediction in zip(samples, predictions, strict=True):
        if prediction.error is not None or prediction.p_yes is None:
            continue
        if not 0 <= prediction.p_yes <= 1:
            raise InvalidInput(f"id {sample.id!r}: p_yes is {prediction.p_yes}; it must lie in [0, 1], evaluate this condition again")
        said.append(prediction.p_yes)
        gold.append(float(sample.answer == "yes"))
    return np.asarray(said, dtype=np.float64), np.asarray(gold, dtype=np.float64)


def _bin(place: int, said: NDArray[np.float64], gold: NDArray[np.float64]) -> CalibrationBin:
    share = proportion("gold_yes", gold.tolist())
    return CalibrationBin(low=place / BINS, high=(place + 1) / BINS, p_yes=float(said.mean()), gold_yes=share)
