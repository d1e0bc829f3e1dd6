"""One condition's scores."""

from collections.abc import Sequence

from askback.contracts.measures import ConditionScore, Metric
from askback.contracts.records import Condition, Prediction, Sample
from askback.tasks import Task
from services.evaluator.metrics.benchmark import brier, hotpot_values, is_right
from services.evaluator.stats import intervals


def condition_score(task: Task, condition: Condition, samples: Sequence[Sample], predictions: Sequence[Prediction], seed: int) -> ConditionScore:
    pairs = list(zip(samples, predictions, strict=True))
    parsed = [p.answer for p in predictions if p.error is None and p.answer is not None]
    return ConditionScore(
        condition=condition,
        metrics=_choice_metrics(task, pairs, seed) if task.choices else _hotpot_metrics(pairs, seed),
        unparsable=sum(p.error is None and p.answer is None for p in predictions),
        failed=sum(p.error is not None for p in predictions),
        yes_rate=parsed.count("yes") / len(parsed) if "yes" in task.choices and parsed else None,
    )


def _choice_metrics(task: Task, pairs: list[tuple[Sample, Prediction]], seed: int) -> list[Metric]:
    right = [float(is_right(task, sample, prediction)) for sample, prediction in pairs]
    squared = [error for sample, prediction in pairs if (error := brier(sample, prediction)) is not None]
    balanced = intervals.balanced_accuracy(right, [sample.answer for sample, _ in pairs])
    found = [intervals.proportion("accuracy", right)]
    if balanced:
        found.append(balanced)
    if squared:
        found.append(intervals.mean("brier", squared, seed))
    return found


def _hotpot_metrics(pairs: list[tuple[Sample, Prediction]], seed: int) -> list[Metric]:
    rows = [hotpot_values(sample, prediction) for sample, prediction in pairs]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return [intervals.proportion(name, values) if name.endswith("_em") else intervals.mean(name, values, seed) for name, values in columns.items()]
