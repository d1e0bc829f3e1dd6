"""The metrics of parts of the questions."""

import re
from collections import defaultdict
from collections.abc import Sequence

from askback.contracts.measures import Slice
from askback.contracts.records import Prediction, Sample
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer
from services.evaluator.metrics.benchmark import hotpot_values
from services.evaluator.metrics.means import choice_means, hotpot_means

_TOLD = ("answer_em", "answer_f1", "supporting_fact_em", "supporting_fact_f1", "joint_em", "joint_f1")
_REFERENCE = re.compile(r"#\d+")
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_DATE = re.compile(rf"(?:1\d|20)\d\d|(?:.*\b)?{_MONTH}\b.*\d.*|.*\d\b.*\b{_MONTH}\b.*")
_NUMBER = re.compile(r"\d+(?:st|nd|rd|th)?(?:\s.*)?")


def slices(task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction], seed: int) -> list[Slice]:
    """The questions by `question type`, `hops` and `answer type`, each where the dataset tells it; shorter values first, then by name.

    Accuracy and balanced accuracy for tasks with choices, else EM and F1 of answers, supporting facts and both.
    """
    members: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, sample in enumerate(samples):
        for by, value in kinds(task, sample).items():
            members[by][value].append(position)
    rows = [] if task.choices else [hotpot_values(sample, said) for sample, said in zip(samples, predictions, strict=True)]
    found = []
    for by, values in members.items():
        for value in sorted(values, key=lambda value: (len(value), value)):
            part = values[value]
            if task.choices:
                metrics = choice_means(task, [samples[i] for i in part], [predictions[i] for i in part])
            else:
                metrics = hotpot_means([rows[i] for i in part], seed, _TOLD)
            found.append(Slice(by=by, value=value, metrics=metrics))
    return found


def kinds(task: Task, sample: Sample) -> dict[str, str]:
    """What slices `sample` belongs to: value by what it is told apart by.

    Question type: the dataset's, else by the gold decomposition: `join` when a step brings two or more earlier answers together, `chain`
    when steps lead to one another, `flat` when none refers to an earlier one. Hops: gold steps, else distinct titles of the gold facts.
    """
    found = {
        "question type": sample.kind or _shape(sample.decomposition),
        "hops": str(len(sample.decomposition) or len({title for title, _ in sample.supporting_facts}) or ""),
        "answer type": sample.answer if task.choices else answer_type(sample.answer),
    }
    return {by: value for by, value in found.items() if value}


def answer_type(answer: str) -> str:
    """`yes`, `no`, `date` (a year of this or the last millennium, or a month with a number), `number` (one, its unit may follow) or `span`."""
    text = normalize_answer(answer)
    if text in ("yes", "no"):
        return text
    if _DATE.fullmatch(text):
        return "date"
    return "number" if _NUMBER.fullmatch(text) else "span"


def _shape(decomposition: Sequence[str]) -> str:
    if not decomposition:
        return ""
    most = max(len(set(_REFERENCE.findall(step))) for step in decomposition)
    return ("flat", "chain", "join")[min(most, 2)]
