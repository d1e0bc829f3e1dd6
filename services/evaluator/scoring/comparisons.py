"""Pairs of conditions on the same questions."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from askback.contracts.measures import Comparison
from services.evaluator.stats import paired
from services.evaluator.stats.target import target_p


def comparisons(right: Mapping[str, Sequence[float]], metric: str, seed: int, pooled: Collection[str] = ()) -> list[Comparison]:
    """Every pair of conditions, in the order of `right` (0/1 per question), Holm-adjusted over all pairs.

    Those in `pooled` are left out: one seed of several says nothing that their pool does not say better, and each would widen the correction.
    """
    return compared(list(combinations([name for name in right if name not in pooled], 2)), right, metric, seed)


def compared(pairs: Sequence[tuple[str, str]], right: Mapping[str, Sequence[float]], metric: str, seed: int) -> list[Comparison]:
    """`b` minus `a` of each of `pairs`, Holm-adjusted over these; `right` holds 0/1 per question by condition name."""
    counts = [paired.discordant(right[a], right[b]) for a, b in pairs]
    p_values = [paired.mcnemar(*count) for count in counts]
    found = []
    for (a, b), (only_a, only_b), p, adjusted in zip(pairs, counts, p_values, paired.holm(p_values), strict=True):
        n = len(right[a])
        low, high = paired.bootstrap_difference(right[a], right[b], seed)
        found.append(
            Comparison(
                a=a,
                b=b,
                metric=metric,
                difference=(only_b - only_a) / n,
                low=low,
                high=high,
                p_value=p,
                p_adjusted=adjusted,
                n=n,
                verdict=paired.verdict(a, b, only_a, only_b, n, p, adjusted),
                p_target=target_p(only_a, only_b, n),
                needed_n=paired.still_needed_n(only_a, only_b, n, p),
            )
        )
    return found
