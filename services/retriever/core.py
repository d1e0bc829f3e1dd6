"""Rank fusion. A ranking is (position of the passage, score) pairs, best first."""

from collections.abc import Sequence

Ranking = list[tuple[int, float]]

FUSION_K = 60
"""The constant of Cormack, Clarke and Büttcher (2009), which they found to be good and not critical."""


def reciprocal_rank_fusion(rankings: Sequence[Ranking], k: int = FUSION_K) -> Ranking:
    """One ranking out of several: a passage scores the sum of 1 / (k + rank) over the rankings that hold it, ranks from 1.

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
    SIGIR 2009. Only ranks count, so scores of different scales can be fused. Ties go to the lower position.
    """
    fused: dict[int, float] = {}
    for ranking in rankings:
        for rank, (position, _) in enumerate(ranking, 1):
            fused[position] = fused.get(position, 0.0) + 1.0 / (k + rank)
    return sorted(fused.items(), key=lambda item: (-item[1], item[0]))
