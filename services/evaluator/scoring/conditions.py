"""One condition's scores."""

from collections.abc import Sequence

from askback.contracts.measures import ConditionScore
from askback.contracts.records import Condition, Prediction, Sample
from askback.tasks import Task
from services.evaluator.metrics.asking import asking
from services.evaluator.metrics.benchmark import FAILED, UNPARSABLE, confusion, lost
from services.evaluator.metrics.cost import cost
from services.evaluator.metrics.means import means
from services.evaluator.metrics.slices import slices
from services.evaluator.stats.calibration import calibration


def condition_score(task: Task, condition: Condition, samples: Sequence[Sample], predictions: Sequence[Prediction], seed: int) -> ConditionScore:
    """All of one condition but the gain of asking, which needs another condition.

    `samples` and `predictions` are in the same order; `seed` is that of every bootstrap.
    """
    predictions = _as_asked(condition, predictions)
    fates = [lost(task, prediction) for prediction in predictions]
    parsed = [prediction.answer for prediction, fate in zip(predictions, fates, strict=True) if not fate]
    return ConditionScore(
        condition=condition,
        metrics=means(task, samples, predictions, seed),
        unparsable=fates.count(UNPARSABLE),
        failed=fates.count(FAILED),
        yes_rate=parsed.count("yes") / len(parsed) if "yes" in task.choices and parsed else None,
        confusion=confusion(task, samples, predictions),
        slices=slices(task, samples, predictions, seed),
        calibration=calibration(samples, predictions, seed),
        cost=cost(predictions, seed),
        asking=asking(task, samples, predictions, seed),
    )


def _as_asked(condition: Condition, predictions: Sequence[Prediction]) -> Sequence[Prediction]:
    """The predictions with the questions that were put as their draft's: in mode `tutored` the student's own were not."""
    if condition.mode != "tutored":
        return predictions
    return [
        said.model_copy(update={"draft": said.draft.model_copy(update={"questions": [put.question for put in said.exchanges]})})
        if said.draft
        else said
        for said in predictions
    ]
