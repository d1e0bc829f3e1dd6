"""What a report says beyond the scores: the best condition against the target, and what the harvest brought."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison, ConditionScore, Metric, PooledScore
from askback.contracts.records import HarvestRecord, HarvestStage, Sample
from askback.contracts.spending import Spent, spent
from askback.tasks import Task
from services.evaluator.stats.intervals import proportion
from services.evaluator.stats.paired import ALPHA
from services.evaluator.stats.target import TARGET

BASE = "base.direct"
TARGET_POINTS = (round(100 * TARGET[0]), round(100 * TARGET[1]))

_NEEDED = {HarvestStage.DRAFT, HarvestStage.TEACHER, HarvestStage.REWRITE}
"""A row is through when it has these; a second try is not every row's."""
_KIND = re.compile(r"^\s*([A-Za-z_]\w*)\s*(?::|$)")


@dataclass(frozen=True)
class Headline:
    """The untrained student against the best other condition; `upper_bound` is the best one that is told gold facts.

    Conditions whose trainings differ in their seed alone stand as one, with the family as its adapter: the best of several seeds is chosen
    by luck. `seeds` are the trainings behind `best`.
    """

    base: ConditionScore | None
    best: ConditionScore | None
    comparison: Comparison | None
    upper_bound: ConditionScore | None
    seeds: int = 1


def headline(scores: Scores) -> Headline:
    """Conditions that are told gold facts, or ask the teacher's questions, never count as best, because no user has those."""
    pools = {pool.name: pool for pool in scores.pooled if pool.seeds > 1}
    inside = {name for pool in pools.values() for name in pool.conditions}
    by_name = {score.condition.name: score for score in scores.conditions}
    alone = [score for name, score in by_name.items() if name not in inside]
    standing = [*alone, *(_as_condition(pool, by_name) for pool in pools.values())]
    gold = [score for score in standing if score.condition.told_gold]
    best = max((score for score in standing if score.condition.name != BASE and not score.condition.yardstick), key=_value, default=None)
    name = best.condition.name if best else ""
    pair = against(scores.pooled_comparisons if name in pools else scores.comparisons, BASE, name)
    return Headline(by_name.get(BASE), best, pair, max(gold, key=_value, default=None), pools[name].seeds if name in pools else 1)


def _as_condition(pool: PooledScore, by_name: Mapping[str, ConditionScore]) -> ConditionScore:
    """The pool with its family in place of the adapter; `unparsable` and `failed` are sums over its trainings."""
    members = [by_name[name] for name in pool.conditions]
    first = members[0].condition
    return ConditionScore(
        condition=first.model_copy(update={"adapter": first.family or first.adapter}),
        metrics=[pool.metric],
        unparsable=sum(score.unparsable for score in members),
        failed=sum(score.failed for score in members),
    )


def target_word(comparison: Comparison | None) -> str:
    """`reached`, `not reached` or `not shown`.

    Reached: the measured gain is at least the target's lower end and the difference is significant. Not reached: the
    interval lies below that end. Not shown: the questions do not decide.
    """
    goal = TARGET_POINTS[0] / 100
    if comparison is None:
        return "not shown"
    if comparison.difference >= goal - 1e-9 and comparison.p_adjusted < ALPHA:
        return "reached"
    return "not reached" if comparison.high < goal else "not shown"


@dataclass(frozen=True)
class StageCount:
    stage: str
    answered: int
    failed: int


@dataclass(frozen=True)
class HarvestFindings:
    """Counts over the last record of each row and stage; cost and tokens over every record, since each was paid."""

    rows: int
    complete: int
    stages: list[StageCount]
    errors: list[tuple[str, str, int]]
    """(stage, kind, count), the commonest first."""
    backends: list[tuple[str, int]]
    """Who gave the teacher's answers."""
    agreement: Metric | None
    """Teacher's verdict equals gold, over the replies whose question lies in `samples/`."""
    cost_usd: float
    tokens: int
    spent: dict[str, Spent]
    """By step, and `total`."""


def harvest_findings(records: Sequence[HarvestRecord], samples: Mapping[str, Sample], task: Task) -> HarvestFindings | None:
    """None without records."""
    if not records:
        return None
    last = {(record.sample_id, record.stage): record for record in records}
    rows = {sample_id for sample_id, _ in last}
    good = [record for record in last.values() if record.error is None]
    bad = [record for record in last.values() if record.error is not None]
    done, costs = _stages(good), spent(records)
    total = costs["total"]
    replies = [record for record in good if record.stage is HarvestStage.TEACHER]
    errors = Counter((record.stage.value, error_kind(record.error or "")) for record in bad)
    return HarvestFindings(
        rows=len(rows),
        complete=sum(stages >= _NEEDED for stages in done.values()),
        stages=[StageCount(s.value, _count(good, s), _count(bad, s)) for s in HarvestStage if s in _NEEDED or _count(good + bad, s)],
        errors=[(stage, kind, count) for (stage, kind), count in errors.most_common()],
        backends=Counter(record.backend or "unnamed" for record in replies).most_common(),
        agreement=_agreement(replies, samples, task),
        cost_usd=total.cost_usd,
        tokens=total.prompt_tokens + total.completion_tokens,
        spent=costs,
    )


def _stages(records: Iterable[HarvestRecord]) -> dict[str, set[HarvestStage]]:
    """By row, the stages of `records`."""
    found: dict[str, set[HarvestStage]] = defaultdict(set)
    for record in records:
        found[record.sample_id].add(record.stage)
    return found


def error_kind(error: str) -> str:
    """The class name that an error text opens with, else `other`."""
    match = _KIND.match(error)
    return match[1] if match else "other"


def against(comparisons: Iterable[Comparison], a: str, b: str) -> Comparison | None:
    """`b` minus `a`, whichever way round it was measured; None when the pair was not."""
    for found in comparisons:
        if (found.a, found.b) == (a, b):
            return found
        if (found.a, found.b) == (b, a):
            turned = {"a": a, "b": b, "difference": -found.difference, "low": -found.high, "high": -found.low, "p_target": None}
            return found.model_copy(update=turned)
    return None


def metric(score: ConditionScore, name: str) -> Metric | None:
    return next((found for found in score.metrics if found.name == name), None)


def shown_comparisons(scores: Scores, largest: int = 5) -> list[Comparison]:
    """All against the untrained student, with it as `a`, then the `largest` others by size of the difference."""
    names = [score.condition.name for score in scores.conditions if score.condition.name != BASE]
    base = [found for name in names if (found := against(scores.comparisons, BASE, name))]
    rest = sorted((c for c in scores.comparisons if BASE not in (c.a, c.b)), key=lambda c: -abs(c.difference))
    return base + rest[:largest]


def leading(scores: Scores, most: int) -> list[ConditionScore]:
    """The untrained student and the best others, `most` at the most, in the scores' own order."""
    ranked = sorted(scores.conditions, key=lambda score: (score.condition.name != BASE, -_value(score)))
    kept = {score.condition.name for score in ranked[:most]}
    return [score for score in scores.conditions if score.condition.name in kept]


def _value(score: ConditionScore) -> float:
    return score.metrics[0].value


def _count(records: Iterable[HarvestRecord], stage: HarvestStage) -> int:
    return sum(record.stage is stage for record in records)


def _agreement(replies: Sequence[HarvestRecord], samples: Mapping[str, Sample], task: Task) -> Metric | None:
    judged = [
        float(task.is_correct(record.reply.answer, samples[record.sample_id])) for record in replies if record.reply and record.sample_id in samples
    ]
    return proportion("teacher_agreement", judged) if judged else None
