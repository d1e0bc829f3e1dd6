"""Several trainings that differ in their seed alone, as one.

Questions are always paired. Seeds are paired where both sides read the same trainings, as one family in two modes; other families'
seeds count as independent, even where the numbers are the same. Trainings that share more than a number, as a second stage started
from a first, then get too wide an interval, never too narrow a one. A family of one training counts as that training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from askback.contracts.errors import InvalidInput
from askback.contracts.measures import Comparison, Metric, PooledScore
from askback.contracts.records import Condition
from services.evaluator.stats import crossed
from services.evaluator.stats.paired import ALPHA, holm, p_text
from services.evaluator.stats.target import TARGET


@dataclass(frozen=True)
class Family:
    """Conditions of one pool, by seed; or one condition of one training."""

    name: str
    members: list[Condition]
    table: crossed.Table

    @property
    def seeds(self) -> int:
        return len(self.members)

    @property
    def drawn(self) -> bool:
        """Whether the choice of seeds is part of its uncertainty, or there was none to make."""
        return self.seeds > 1 or self.members[0].adapter == "base"


def pooled(conditions: Sequence[Condition], right: Mapping[str, Sequence[float]], metric: str) -> tuple[list[PooledScore], list[Comparison]]:
    """The pools of several seeds, and every pair of them and of one with a condition of one training, in the order of `conditions`.

    `right` holds 0/1 per question by condition name. Raises InvalidInput when a seed is absent or stands twice in a pool.
    """
    families = _families(conditions, right)
    pairs = [(a, b) for a, b in combinations(families, 2) if a.seeds > 1 or b.seeds > 1]
    found = [_difference(a, b) for a, b in pairs]
    adjusted = holm([estimate.p() for estimate in found])
    compared = [_comparison(a, b, metric, estimate, p) for (a, b), estimate, p in zip(pairs, found, adjusted, strict=True)]
    return [_score(family, metric) for family in families if family.seeds > 1], compared


def _families(conditions: Sequence[Condition], right: Mapping[str, Sequence[float]]) -> list[Family]:
    groups: dict[tuple[bool, str], list[Condition]] = {}
    for condition in conditions:
        groups.setdefault((bool(condition.family), condition.pool), []).append(condition)
    found = []
    for (_, pool), members in groups.items():
        ordered = _by_seed(pool, members) if len(members) > 1 else members
        name = pool if len(members) > 1 else members[0].name
        found.append(Family(name, ordered, np.column_stack([np.asarray(right[member.name], dtype=np.float64) for member in ordered])))
    return found


def _by_seed(pool: str, members: Sequence[Condition]) -> list[Condition]:
    by_seed: dict[int, Condition] = {}
    for member in members:
        if member.seed is None:
            raise InvalidInput(f"condition {member.name!r}: seed is empty; each of the trainings in {pool!r} needs its seed")
        if member.seed in by_seed:
            twice = by_seed[member.seed].name
            raise InvalidInput(f"conditions {twice!r} and {member.name!r}: both have seed {member.seed} in {pool!r}; give each training its own")
        by_seed[member.seed] = member
    return [by_seed[seed] for seed in sorted(by_seed)]


def _score(family: Family, metric: str) -> PooledScore:
    estimate = crossed.mean(family.table)
    low, high = estimate.share_interval()
    return PooledScore(
        name=family.name,
        conditions=[member.name for member in family.members],
        metric=Metric(name=metric, value=estimate.value, stderr=estimate.variance**0.5, low=low, high=high, n=estimate.n),
        seeds=family.seeds,
        seed_stderr=float(family.table.mean(axis=0).std(ddof=1)),
    )


def _difference(a: Family, b: Family) -> crossed.Estimate:
    same = [member.adapter for member in a.members] == [member.adapter for member in b.members]
    return crossed.paired_difference(a.table, b.table) if same else crossed.independent_difference(a.table, b.table)


def _comparison(a: Family, b: Family, metric: str, estimate: crossed.Estimate, adjusted: float) -> Comparison:
    low, high = estimate.interval()
    p = estimate.p()
    return Comparison(
        a=a.name,
        b=b.name,
        metric=metric,
        difference=estimate.value,
        low=low,
        high=high,
        p_value=p,
        p_adjusted=adjusted,
        n=estimate.n,
        verdict=_verdict(a, b, estimate, adjusted),
        seeds=max(a.seeds, b.seeds),
        p_target=estimate.p(TARGET[0]),
        needed_n=None if p < ALPHA or not estimate.value else estimate.needed_n(),
    )


def _verdict(a: Family, b: Family, estimate: crossed.Estimate, adjusted: float) -> str:
    """The comparison in words; `adjusted`, Holm's p, decides."""
    many = sorted({a.seeds, b.seeds} - {1})
    at = f"n = {estimate.n} and {' and '.join(map(str, many))} seeds"
    single = "".join(f"; {side.name} is one training, whose choice of seed is not counted" for side in (a, b) if not side.drawn)
    p = estimate.p()
    if adjusted < ALPHA:
        return f"{b.name if estimate.value > 0 else a.name} is better ({p_text(adjusted)}, {at}){single}"
    shown = f"no difference shown at {at}"
    if not estimate.value:
        return f"{shown}; the measured difference is 0, so no sample size is computed{single}"
    if p < ALPHA:
        return f"{shown}: {p_text(p)} alone, {p_text(adjusted)} after Holm's correction for all pooled comparisons{single}"
    needed = estimate.needed_n()
    if needed is None:
        return f"{shown}; more questions alone would not show it, because the seeds differ too much: train more seeds{single}"
    return f"{shown}; 80 % power for a difference this large would need n = {needed} with as many seeds{single}"
