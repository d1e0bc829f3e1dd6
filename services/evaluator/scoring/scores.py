"""Score a run: every condition's metrics, and every pair of conditions compared on the same questions."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison, ConditionScore, Metric
from askback.contracts.records import Condition, Prediction, Sample
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer
from services.evaluator.metrics.benchmark import brier, hotpot_values, is_right, primary_metric
from services.evaluator.stats import intervals, paired
from services.evaluator.storage.atomic_file import write_atomically
from services.evaluator.storage.run_folder import RunFolder

_MODES = ("direct", "cot", "context", "assisted")


def score_run(run: RunFolder, task: Task, seed: int) -> Scores:
    """Score all of the run's predictions and write `scores.json`.

    Raises InvalidInput naming the file and the id when samples and predictions do not match one to one.
    """
    samples = run.samples()
    for sample in samples:
        if sample.task != task.name:
            raise InvalidInput(f"samples/dev.jsonl: id {sample.id!r} is of task {sample.task!r}; score the run as that task, not {task.name!r}")
    conditions = sorted(run.conditions(), key=reading_order)
    answers = {c.name: aligned(samples, run.predictions(c), run.name_of(run.predictions_file(c))) for c in conditions}
    right = {name: [float(is_right(task, s, p)) for s, p in zip(samples, found, strict=True)] for name, found in answers.items()}
    scores = Scores(
        task=task.name,
        n=len(samples),
        majority=majority(samples),
        conditions=[condition_score(task, c, samples, answers[c.name], seed) for c in conditions],
        comparisons=comparisons(right, primary_metric(task), seed),
    )
    write_atomically(run.path / "scores.json", (scores.model_dump_json(indent=2) + "\n").encode())
    return scores


def reading_order(condition: Condition) -> tuple[bool, str, int, str]:
    """The untrained student first, then adapters by name; within each System 1 before System 2."""
    mode = _MODES.index(condition.mode) if condition.mode in _MODES else len(_MODES)
    return condition.adapter != "base", condition.adapter, mode, condition.name


def aligned(samples: Sequence[Sample], predictions: Sequence[Prediction], file: str) -> list[Prediction]:
    """`predictions` in the samples' order; raises InvalidInput for a missing, unknown or doubled id."""
    by_id: dict[str, Prediction] = {}
    known = {sample.id for sample in samples}
    for prediction in predictions:
        if prediction.sample_id not in known:
            raise InvalidInput(f"{file}: sample_id {prediction.sample_id!r} is not in samples/dev.jsonl; evaluate this condition again")
        if prediction.sample_id in by_id:
            raise InvalidInput(f"{file}: sample_id {prediction.sample_id!r} stands twice; evaluate this condition again")
        by_id[prediction.sample_id] = prediction
    for sample in samples:
        if sample.id not in by_id:
            raise InvalidInput(f"{file}: sample_id {sample.id!r} has no prediction; finish the evaluate stage")
    return [by_id[sample.id] for sample in samples]


def majority(samples: Sequence[Sample]) -> float:
    """Accuracy of always giving the commonest gold answer."""
    return Counter(normalize_answer(sample.answer) for sample in samples).most_common(1)[0][1] / len(samples)


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
