"""Score a run: every condition's metrics, and every pair of conditions compared on the same questions."""

from collections import Counter
from collections.abc import Sequence

from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import Scores
from askback.contracts.records import Condition, Prediction, Sample
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer
from services.evaluator.metrics.benchmark import is_right, primary_metric
from services.evaluator.scoring.comparisons import comparisons
from services.evaluator.scoring.conditions import condition_score
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
