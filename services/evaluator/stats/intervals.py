"""Means with standard errors and 95 % intervals.

Standard errors are the plug-in ones, the root of the sample's own variance over n: for 0/1 values that is sqrt(p(1 - p) / n).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from askback.contracts.measures import Metric

Z95 = 1.959963984540054
"""Normal quantile of 0.975."""
RESAMPLES = 10_000
DRAWS_PER_COUNT = 20
"""Questions that are drawn in the time in which one distinct value's count is."""
BATCH = 250
"""Resamples drawn at a time, which bounds the memory: 15 MB for 7,405 questions."""


def proportion(name: str, values: Sequence[float]) -> Metric:
    """Mean of 0/1 `values` with Wilson's interval."""
    n, p = len(values), float(np.mean(values))
    low, high = wilson(p, n)
    return Metric(name=name, value=p, stderr=_stderr(p, n), low=low, high=high, n=n)


def mean(name: str, values: Sequence[float], seed: int) -> Metric:
    """Mean of `values` in [0, 1] with the percentile bootstrap's interval."""
    data = np.asarray(values, dtype=float)
    low, high = percentile_interval(bootstrap_means(data, seed))
    return Metric(name=name, value=float(data.mean()), stderr=float(data.std() / len(data) ** 0.5), low=low, high=high, n=len(data))


def balanced_accuracy(right: Sequence[float], gold: Sequence[str]) -> Metric | None:
    """Mean of the classes' recalls; None when the questions have fewer than two classes.

    The interval joins the recalls' Wilson intervals by the MOVER (Zou and Donner 2008, Statistics in Medicine 27:1693).
    """
    classes = sorted(set(gold))
    if len(classes) < 2:
        return None
    below = above = variance = 0.0
    recalls = []
    for label in classes:
        values = [value for value, answer in zip(right, gold, strict=True) if answer == label]
        part = proportion(label, values)
        recalls.append(part.value)
        below += (part.value - part.low) ** 2
        above += (part.high - part.value) ** 2
        variance += part.stderr**2
    k, value = len(classes), sum(recalls) / len(recalls)
    low, high = max(0.0, value - below**0.5 / k), min(1.0, value + above**0.5 / k)
    return Metric(name="balanced_accuracy", value=value, stderr=variance**0.5 / k, low=low, high=high, n=len(right))


def wilson(p: float, n: float, z: float = Z95) -> tuple[float, float]:
    """95 % score interval of a proportion `p` seen in `n` trials (Wilson 1927; Brown, Cai and DasGupta 2001)."""
    z2 = z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def bootstrap_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of RESAMPLES resamples with replacement (Efron 1979), shape (RESAMPLES,).

    How often each distinct value is drawn is multinomial, so drawing those counts gives the same distribution as drawing the questions
    one by one, at a cost that does not grow with n but with the distinct values, which are few for right and wrong. Where that would
    take longer, questions are drawn.
    """
    generator, n = np.random.default_rng(seed), len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if DRAWS_PER_COUNT * len(distinct) <= n:
        return np.asarray(generator.multinomial(n, counts / n, size=RESAMPLES) @ distinct / n, dtype=np.float64)
    parts = [values[generator.integers(n, size=(min(BATCH, RESAMPLES - start), n))].mean(axis=1) for start in range(0, RESAMPLES, BATCH)]
    return np.concatenate(parts)


def percentile_interval(means: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _stderr(p: float, n: int) -> float:
    return float((p * (1 - p) / n) ** 0.5)
