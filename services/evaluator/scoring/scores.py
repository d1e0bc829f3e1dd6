"""Score a run: every condition's metrics, and every pair of conditions compared on the same questions."""

from collections import Counter
from collections.abc import Sequence

from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import Scores
from askback.contracts.records import Condition, Sample
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer
from services.evaluator.metrics.benchmark import is_right, primary_metric
from services.evaluator.metrics.overlap import overlaps
from services.evaluator.scoring.alignment import aligned
from services.evaluator.scoring.comparisons import comparisons
from services.evaluator.scoring.conditions import condition_score
from services.evaluator.scoring.gains import with_gains
from services.evaluator.scoring.pooling import pooled
from services.evaluator.storage.atomic_file import write_atomically
from services.evaluator.storage.run_folder import RunFolder
from services.evaluator.storage.training_texts import training_texts

_MODES = ("closed_book", "direct", "cot", "context", "assisted", "tutored")


def score_run(run: RunFolder, task: Task, seed: int) -> Scores:
    """Score all of the run's predictions and write `scores.json`.

    Raises InvalidInput naming the file and the id when samples and predictions do not match one to one.
    """
    samples = run.samples()
    for sample in samples:
        if sample.task != task.name:
            raise InvalidInput(f"samples/dev.jsonl: id {sample.id!r} is of task {sample.task!r}; score the run as that task, not {task.name!r}")
    conditions = sorted(run.conditions(), key=reading_order)
    asked = run.name_of(run.samples_file)
    answers = {c.name: aligned(samples, run.predictions(c), run.name_of(run.predictions_file(c)), asked) for c in conditions}
    right = {name: [float(is_right(task, s, p)) for s, p in zip(samples, found, strict=True)] for name, found in answers.items()}
    metric = primary_metric(task)
    pools, pooled_comparisons = pooled(conditions, right, metric)
    scores = Scores(
        task=task.name,
        n=len(samples),
        majority=majority(samples),
        conditions=with_gains([condition_score(task, c, samples, answers[c.name], seed) for c in conditions], right, seed),
        comparisons=comparisons(right, metric, seed, {name for pool in pools for name in pool.conditions}),
        pooled=pools,
        pooled_comparisons=pooled_comparisons,
        overlaps=overlaps(task, samples, training_texts(run)),
    )
    write_atomically(run.path / "scores.json", (scores.model_dump_json(indent=2) + "\n").encode())
    return scores


def reading_order(condition: Condition) -> tuple[bool, str, int, str]:
    """The untrained student first, then adapters by name; within each System 1 before System 2."""
    mode = _MODES.index(condition.mode) if condition.mode in _MODES else len(_MODES)
    return condition.adapter != "base", condition.adapter, mode, condition.name


def majority(samples: Sequence[Sample]) -> float:
    """Accuracy of always giving the commonest gold answer."""
    return Counter(normalize_answer(sample.answer) for sample in samples).most_common(1)[0][1] / len(samples)
