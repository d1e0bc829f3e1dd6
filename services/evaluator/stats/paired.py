"""Two conditions on the same questions: tests and sizes for paired right/wrong answers."""

import math
from collections.abc import Sequence

import numpy as np

from services.evaluator.stats.distributions import coin_p
from services.evaluator.stats.intervals import Z95, bootstrap_means, percentile_interval

Z_POWER = 0.8416212335729143
"""Normal quantile of 0.8: sample sizes are for 80 % power."""
ALPHA = 0.05


def discordant(a: Sequence[float], b: Sequence[float]) -> tuple[int, int]:
    """(questions that only `a` has right, questions that only `b` has right)."""
    return sum(x > y for x, y in zip(a, b, strict=True)), sum(y > x for x, y in zip(a, b, strict=True))


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p of the exact McNemar test: a fair coin over the discordant pairs; 1 when there are none."""
    return coin_p(only_a, only_a + only_b)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def bootstrap_difference(a: Sequence[float], b: Sequence[float], seed: int) -> tuple[float, float]:
    """95 % percentile interval of mean(b) - mean(a), resampling questions with both their answers."""
    return percentile_interval(bootstrap_means(np.asarray(b, dtype=float) - np.asarray(a, dtype=float), seed))


def needed_n(only_a: int, only_b: int, n: int) -> int:
    """Questions for 80 % power at a two-sided 5 % McNemar test, were the shares those seen in `n` questions.

    Connor (1987, Biometrics 43:207), after Miettinen (1968): with psi the share of discordant pairs and d the difference,
    n = ((z_alpha sqrt(psi) + z_power sqrt(psi - d^2)) / d)^2. `only_a` and `only_b` must differ.
    """
    psi, difference = (only_a + only_b) / n, (only_b - only_a) / n
    spread = math.sqrt(max(0.0, psi - difference**2))
    return math.ceil(((Z95 * math.sqrt(psi) + Z_POWER * spread) / difference) ** 2)


def still_needed_n(only_a: int, only_b: int, n: int, p: float) -> int | None:
    """`needed_n`, more than `n` at least; None where nothing was measured, or `p`, that of the test alone, shows the difference already."""
    if p < ALPHA or only_a == only_b:
        return None
    return max(needed_n(only_a, only_b, n), n + 1)


def verdict(a: str, b: str, only_a: int, only_b: int, n: int, p: float, p_adjusted: float) -> str:
    """The comparison in words; `p_adjusted` decides."""
    if p_adjusted < ALPHA:
        return f"{b if only_b > only_a else a} is better ({p_text(p_adjusted)})"
    shown = f"no difference shown at n = {n}"
    if only_a == only_b:
        return f"{shown}; the measured difference is 0, so no sample size is computed"
    if p < ALPHA:
        return f"{shown}: {p_text(p)} alone, {p_text(p_adjusted)} after Holm's correction for all comparisons"
    return f"{shown}; 80 % power for a difference this large would need n = {still_needed_n(only_a, only_b, n, p)}"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
