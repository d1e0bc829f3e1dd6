"""A benchmark's metrics over a set of questions, each with its uncertainty."""

from collections.abc import Mapping, Sequence

from askback.contracts.measures import Metric
from askback.contracts.records import Prediction, Sample
from askback.tasks import Task
from services.evaluator.metrics.benchmark import HOTPOT, brier, decomposition_sari, hotpot_values, is_right
from services.evaluator.stats import intervals


def means(task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction], seed: int) -> list[Metric]:
    """The primary metric first. `brier` and `sari` stand only where predictions have P(yes), or drafts and gold has decompositions.

    SARI is over all questions with a gold decomposition, as AI2's evaluator takes it: one without a draft counts 0.
    """
    pairs = list(zip(samples, predictions, strict=True))
    if not task.choices:
        return hotpot_means([hotpot_values(sample, said) for sample, said in pairs], seed)
    squared = [error for sample, said in pairs if (error := brier(sample, said)) is not None]
    drafted = any(said.draft is not None for said in predictions)
    steps = [decomposition_sari(sample, said) for sample, said in pairs if sample.decomposition] if drafted else []
    found = choice_means(task, samples, predictions)
    found += [intervals.mean("brier", squared, seed)] if squared else []
    return found + ([intervals.mean("sari", steps, seed)] if steps else [])


def choice_means(task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> list[Metric]:
    """Accuracy, and balanced accuracy where gold has more than one answer."""
    right = [float(is_right(task, sample, said)) for sample, said in zip(samples, predictions, strict=True)]
    balanced = intervals.balanced_accuracy(right, [sample.answer for sample in samples])
    return [intervals.proportion("accuracy", right), *([balanced] if balanced else [])]


def hotpot_means(rows: Sequence[Mapping[str, float]], seed: int, names: Sequence[str] = HOTPOT) -> list[Metric]:
    """Those of the official metrics that `names` has; `rows` are the questions' `hotpot_values`."""
    columns = {name: [row[name] for row in rows] for name in names}
    return [intervals.proportion(name, values) if name.endswith("_em") else intervals.mean(name, values, seed) for name, values in columns.items()]
