"""Per-question values of each benchmark's metrics, by the functions of the two scripts. A failed prediction is wrong in all of them."""

from collections import Counter
from collections.abc import Sequence

from askback.contracts.records import Prediction, Sample
from askback.tasks import Task
from services.evaluator.hotpot_evaluate_v1 import Predictions, row_values
from services.evaluator.strategyqa_evaluator import Row, sari

HOTPOT = tuple(f"{part}_{name}" for part in ("answer", "supporting_fact", "joint") for name in ("em", "f1", "precision", "recall"))
"""The official script's `em`, `f1`, `prec`, `recall` and the same with `sp_` and `joint_`, in its order."""

FAILED, UNPARSABLE = "failed", "unparsable"


def primary_metric(task: Task) -> str:
    """Name of the 0/1 metric that conditions are compared by."""
    return "accuracy" if task.choices else "answer_em"


def is_right(task: Task, sample: Sample, prediction: Prediction) -> bool:
    """Right by the benchmark's own rule; an unparsable or failed prediction never is."""
    return prediction.error is None and prediction.answer is not None and task.is_correct(prediction.answer, sample)


def lost(task: Task, prediction: Prediction) -> str:
    """FAILED for a prediction that ended in an error, UNPARSABLE for one without an answer, or with none of the task's; else empty."""
    if prediction.error is not None:
        return FAILED
    return UNPARSABLE if prediction.answer is None or (task.choices and prediction.answer not in task.choices) else ""


def confusion(task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> dict[str, int]:
    """Questions by `<gold>_<predicted>`, for tasks with a closed set of answers; the cells sum to the number of questions."""
    cells = Counter((sample.answer, lost(task, said) or said.answer) for sample, said in zip(samples, predictions, strict=True))
    return {f"{gold}_{said}": cells[gold, said] for gold in task.choices for said in (*task.choices, UNPARSABLE, FAILED)}


def brier(sample: Sample, prediction: Prediction) -> float | None:
    """Squared error of P(yes), 0 best and 1 worst (Brier 1950); None without a probability."""
    if prediction.error is not None or prediction.p_yes is None:
        return None
    return (prediction.p_yes - (sample.answer == "yes")) ** 2


def decomposition_sari(sample: Sample, prediction: Prediction) -> float:
    """SARI, in [0, 1], of the draft's questions against `sample.decomposition`; 0 where there is no draft."""
    if prediction.error is not None or prediction.draft is None:
        return 0.0
    return sari(Row("", sample.id, {"question": sample.question, "decomposition": sample.decomposition}), prediction.draft.questions)


def hotpot_values(sample: Sample, prediction: Prediction) -> dict[str, float]:
    """Answer, supporting-fact and joint EM, F1, precision and recall of one question, by the names in HOTPOT."""
    if prediction.error is not None:
        return dict.fromkeys(HOTPOT, 0.0)
    answers = {} if prediction.answer is None else {sample.id: prediction.answer}
    said = Predictions(answers, {sample.id: set(prediction.supporting_facts)}, {sample.id}, [], [])
    gold = {"_id": sample.id, "answer": sample.answer, "supporting_facts": set(sample.supporting_facts)}
    return dict(zip(HOTPOT, row_values(gold, said), strict=True))
