"""Means over questions that come in rows: two questions of one row are alike, so the uncertainty is counted by rows."""

from collections.abc import Sequence

from askback.contracts.measures import Metric
from services.evaluator.stats import intervals

_ROUNDING = 1e-9
"""Below any standard error but those of rows that are the same."""


def share(name: str, rows: Sequence[Sequence[bool]], seed: int) -> Metric | None:
    """Share of true values over all rows, with Wilson's interval at the effective number of values; None without a value.

    That number is p(1 - p) over the square of the clustered standard error (Korn and Graubard 1998, Survey Methodology 24:193), at most
    the values there are. Where rows do not differ it is the number of rows with a value, as if each held one.
    """
    total = mean(name, [[float(value) for value in row] for row in rows], seed)
    if total is None:
        return None
    p = total.value
    effective = min(total.n, p * (1 - p) / total.stderr**2) if total.stderr > _ROUNDING else sum(map(bool, rows))
    low, high = intervals.wilson(p, effective)
    return total.model_copy(update={"low": low, "high": high})


def mean(name: str, rows: Sequence[Sequence[float]], seed: int) -> Metric | None:
    """Mean over all values, each in [0, 1], with the interval of a bootstrap of rows; None without a value. `n` counts values.

    Standard error and interval are those of the ratio of sums, linearised (Cochran 1977, section 2.11): row i stands for the ratio plus
    its own residual, so that the mean over rows is the ratio.
    """
    count = sum(map(len, rows))
    if not count:
        return None
    ratio = sum(map(sum, rows)) / count
    found = intervals.mean(name, [ratio + (sum(row) - ratio * len(row)) * len(rows) / count for row in rows], seed)
    return found.model_copy(update={"value": ratio, "low": max(0.0, found.low), "high": min(1.0, found.high), "n": count})
