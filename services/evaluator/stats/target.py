"""A difference against the target of +10 to +15 points."""

from askback.contracts.measures import Comparison
from services.evaluator.stats.distributions import normal_cdf
from services.evaluator.stats.paired import ALPHA, p_text

TARGET = (0.10, 0.15)
"""The gain over the untrained student that the project set out to reach."""


def target_p(only_a: int, only_b: int, n: int) -> float:
    """Two-sided p that the share right of `b` exceeds that of `a` by the target's lower end, over `n` paired questions."""
    return score_p(only_a, only_b, n, TARGET[0])


def score_p(only_a: int, only_b: int, n: int, difference: float) -> float:
    """Two-sided p of the score test that the paired difference of two shares is `difference`, in (-1, 1).

    Tango (1998, Statistics in Medicine 17:891). The variance is that under the null hypothesis, with the share of `only_a` at its
    largest likelihood there; with a difference of 0 it is McNemar's test without continuity correction. `only_a` and `only_b` count
    the questions that one side alone has right.
    """
    linear = (2 * n - only_b + only_a) * difference - only_a - only_b
    constant = -only_a * difference * (1 - difference)
    share_a = ((linear**2 - 8 * n * constant) ** 0.5 - linear) / (4 * n)
    variance = n * (2 * share_a + difference * (1 - difference))
    if variance <= 0:
        return 1.0
    return 2 * normal_cdf(-abs(only_b - only_a - n * difference) / variance**0.5)


def against_target(comparison: Comparison) -> str:
    """The difference against the target in words; its lower end by the test, its upper end by the interval."""
    low_end, high_end = TARGET
    points = f"{100 * comparison.difference:+.1f} points against +{100 * low_end:.0f} to +{100 * high_end:.0f}"
    p = comparison.p_target
    if p is None:
        return f"{points}: not tested"
    word = "above" if comparison.difference > low_end else "below"
    decided = f"{word} +{100 * low_end:.0f} is shown" if p < ALPHA else f"neither above nor below +{100 * low_end:.0f} is shown"
    inside = "inside" if comparison.low <= high_end <= comparison.high else "outside"
    return f"{points}: {decided} ({p_text(p)}); +{100 * high_end:.0f} lies {inside} the interval"
