"""Every pair of conditions on the same questions."""

from itertools import combinations

from askback.contracts.measures import Comparison
from services.evaluator.stats import paired


def comparisons(right: dict[str, list[float]], metric: str, seed: int) -> list[Comparison]:
    """Every pair of conditions, in the order of `right` (0/1 per question), Holm-adjusted over all pairs."""
    pairs = list(combinations(right, 2))
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
            )
        )
    return found
