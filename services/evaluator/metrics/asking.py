"""What the student's questions are worth."""

from collections import Counter
from collections.abc import Sequence

from askback.contracts.measures import Asking
from askback.contracts.records import Draft, Exchange, Prediction, Sample
from askback.tasks import Task
from askback.tasks.hotpotqa import normalize_answer
from askback.tasks.leaks import leaks
from askback.tasks.question_words import asks_the_same, likeness, telling
from services.evaluator.metrics import clustered
from services.evaluator.metrics.benchmark import is_right
from services.evaluator.stats import intervals

Row = tuple[Sample, Prediction, Draft]

_NOTHING = {"", "i do not know", "i dont know"}
_CHANGED = {(False, True): "fixed", (True, False): "broken", (True, True): "kept right", (False, False): "kept wrong"}


def asking(task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction], seed: int) -> Asking | None:
    """All of `Asking` but `against`, `gain` and `usd_per_point`, over the predictions with a draft that did not fail; None without one.

    The questions are the draft's. Means over questions count their uncertainty by rows. A question leaks by the rule that training rows
    are filtered by: it states a verdict, right or wrong, or names a free answer that the dataset's question does not.
    """
    pairs = zip(samples, predictions, strict=True)
    rows = [(sample, said, said.draft) for sample, said in pairs if said.draft is not None and said.error is None]
    if not rows:
        return None
    return Asking(
        rows=len(rows),
        questions_per_row=intervals.mean("questions_per_row", [float(len(draft.questions)) for _, _, draft in rows], seed),
        answered=clustered.share("answered", [answered(draft.questions, said.exchanges) for _, said, draft in rows], seed),
        novel=clustered.share("novel", [novel(sample.question, draft.questions) for sample, _, draft in rows], seed),
        leaking=clustered.share("leaking", [[leaks(task, question, sample) for question in draft.questions] for sample, _, draft in rows], seed),
        similarity=clustered.mean("similarity", [similarity(draft.questions, sample.decomposition) for sample, _, draft in rows], seed),
        coverage=clustered.mean("coverage", [coverage(draft.questions, sample.decomposition) for sample, _, draft in rows], seed),
        changed=changed(task, rows),
    )


def answered(questions: Sequence[str], exchanges: Sequence[Exchange]) -> list[bool]:
    """For each question, whether an answer of its own came back that is neither empty nor "I do not know"."""
    left = Counter(exchange.question for exchange in exchanges if normalize_answer(exchange.answer) not in _NOTHING)
    found = []
    for question in questions:
        found.append(left[question] > 0)
        left[question] -= 1
    return found


def novel(original: str, questions: Sequence[str]) -> list[bool]:
    """For each question, whether it says anything, and asks the same as neither `original` nor an earlier question of the row."""
    asked = [telling(original)]
    found = []
    for words in map(telling, questions):
        found.append(bool(words) and not any(asks_the_same(words, other) for other in asked))
        asked.append(words)
    return found


def similarity(questions: Sequence[str], gold: Sequence[str]) -> list[float]:
    """For each question, its likeness to the gold step that it is most like; empty without gold steps.

    A step that only joins earlier answers ("Is #1 in #2?") has no words of its own and is no step here.
    """
    steps = _steps(gold)
    return [max(likeness(telling(question), step) for step in steps) for question in questions] if steps else []


def coverage(questions: Sequence[str], gold: Sequence[str]) -> list[float]:
    """For each gold step with words of its own, the likeness of the question that is most like it; 0 where nothing was asked."""
    asked = [telling(question) for question in questions]
    return [max((likeness(step, words) for words in asked), default=0.0) for step in _steps(gold)]


def changed(task: Task, rows: Sequence[Row]) -> dict[str, int]:
    """Rows by whether the draft's answer and the final one are right; an unparsable final answer is wrong."""
    found = Counter(_CHANGED[task.is_correct(draft.answer, sample), is_right(task, sample, said)] for sample, said, draft in rows)
    return {name: found[name] for name in _CHANGED.values()}


def _steps(gold: Sequence[str]) -> list[Counter[str]]:
    return [words for words in map(telling, gold) if words]
