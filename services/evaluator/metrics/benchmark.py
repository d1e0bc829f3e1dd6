"""Per-question values of each benchmark's metrics. A failed prediction is wrong in all of them."""

from collections import Counter

from askback.contracts.records import Prediction, Sample
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer

Triple = tuple[float, float, float]
"""F1, precision and recall, each in [0, 1]."""

_CLOSED = ("yes", "no", "noanswer")
_NOTHING: Triple = (0.0, 0.0, 0.0)


def primary_metric(task: Task) -> str:
    """Name of the 0/1 metric that conditions are compared by."""
    return "accuracy" if task.choices else "answer_em"


def is_right(task: Task, sample: Sample, prediction: Prediction) -> bool:
    """Right by the benchmark's own rule; an unparsable or failed prediction never is."""
    return prediction.error is None and prediction.answer is not None and task.is_correct(prediction.answer, sample)


def brier(sample: Sample, prediction: Prediction) -> float | None:
    """Squared error of P(yes), 0 best and 1 worst (Brier 1950); None without a probability."""
    if prediction.error is not None or prediction.p_yes is None:
        return None
    return (prediction.p_yes - (sample.answer == "yes")) ** 2


def hotpot_values(sample: Sample, prediction: Prediction) -> dict[str, float]:
    """Answer, supporting-fact and joint EM and F1 of one question, as the official hotpot_evaluate_v1.py computes them."""
    if prediction.error is not None:
        return dict.fromkeys(
            ("answer_em", "answer_f1", "supporting_fact_em", "supporting_fact_f1", "joint_em", "joint_f1"),
            0.0,
        )
    answer_em = float(prediction.answer is not None and normalize_answer(prediction.answer) == normalize_answer(sample.answer))
    answer = answer_overlap(prediction.answer or "", sample.answer)
    fact_em = float(set(prediction.supporting_facts) == set(sample.supporting_facts))
    facts = fact_overlap(prediction.supporting_facts, sample.supporting_facts)
    return {
        "answer_em": answer_em,
        "answer_f1": answer[0],
        "supporting_fact_em": fact_em,
        "supporting_fact_f1": facts[0],
        "joint_em": answer_em * fact_em,
        "joint_f1": _f1(answer[1] * facts[1], answer[2] * facts[2]),
    }


def answer_overlap(answer: str, gold: str) -> Triple:
    """Bag-of-words overlap of two normalised answers; zero when one side is yes, no or noanswer and the other differs."""
    left, right = normalize_answer(answer), normalize_answer(gold)
    if left != right and (left in _CLOSED or right in _CLOSED):
        return _NOTHING
    common = sum((Counter(left.split()) & Counter(right.split())).values())
    if not common:
        return _NOTHING
    precision, recall = common / len(left.split()), common / len(right.split())
    return _f1(precision, recall), precision, recall


def fact_overlap(found: list[tuple[str, int]], gold: list[tuple[str, int]]) -> Triple:
    """Overlap of two sets of (title, sentence index)."""
    common = len(set(found) & set(gold))
    if not common:
        return _NOTHING
    precision, recall = common / len(set(found)), common / len(set(gold))
    return _f1(precision, recall), precision, recall


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
