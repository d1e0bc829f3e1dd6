"""Whether a text tells what it must not: a clarifying question the answer, a hinted reply the hint."""

import re

from askback.contracts.records import Sample, TeacherReply
from askback.tasks.hotpotqa import normalize_answer
from askback.tasks.task import Task

_WORD = r"(?:yes|no|true|false)"
_ALONE = rf"[\"'“*(]*{_WORD}\b(?!-)(?!\W*(?:or|/)\W*{_WORD}\b)"  # "yes or no?" names no side
_TOLD = [
    re.compile(rf"\b(?:answer|verdict|conclusion)\s*(?:(?:is|was|would be|should be|must be)\s*:?|[:=])\s*{_ALONE}", re.IGNORECASE),
    re.compile(rf"\b(?:is|isn't)\s+the\s+(?:final\s+|correct\s+)?answer\s+{_ALONE}\W*[?.!]", re.IGNORECASE),
    re.compile(rf"^\W*{_WORD}\s*[,.:;–—](?!\s*\d)", re.IGNORECASE),  # "Yes, but is a dog …?", yet not "No. 5"
    re.compile(rf"[?!:(–—]\s*{_WORD}\W*$", re.IGNORECASE),  # "Is a dog …? Yes.", yet not "Dr. No?"
]
_CLOSED = {"yes", "no"}
_OUTSIDE = r"(?!\s+(?:in|by|on|at)\s+(?!the\s+(?:hint|prompt|question|task|instruction)))"  # "as stated in the first passage" names a source
_HINT = [
    re.compile(r"\bhint(?:s|ed)?\b", re.IGNORECASE),
    re.compile(r"\b(?:given|known|provided|stated|supplied|correct|gold|expected|desired|target)\s+(?:final\s+)?(?:answer|verdict)\b", re.IGNORECASE),
    re.compile(rf"\bas\s+(?:was\s+|is\s+)?(?:stated|given|told|provided|instructed)\b{_OUTSIDE}", re.IGNORECASE),
    re.compile(r"\b(?:answer|verdict)\s+(?:is|was|has\s+been)\s+(?:already\s+)?(?:given|known|told|provided|stated|supplied)\b", re.IGNORECASE),
    re.compile(r"\b(?:given|told|since\s+we\s+know|knowing)\s+that\s+the\s+(?:final\s+|correct\s+)?answer\b", re.IGNORECASE),
]


def leaks(task: Task, question: str, sample: Sample) -> bool:
    """Whether `question` states a verdict or, for free answers, names the gold answer.

    A bare "yes" is no verdict, since "Is … ?" is answered by it. A gold answer that stands in the dataset's own question, as
    in comparisons, gives nothing away.
    """
    if any(pattern.search(question) for pattern in _TOLD):
        return True
    gold = normalize_answer(sample.answer)
    if task.choices or gold in _CLOSED or not gold:
        return False
    return _stands_in(gold, question) and not _stands_in(gold, sample.question)


def tells_hint(reply: TeacherReply) -> bool:
    """Whether a reply that was given with a hint speaks of it, in its thought or in what stands in the dialogue."""
    texts = [reply.thought, *(text for exchange in reply.exchanges for text in (exchange.question, exchange.answer))]
    return any(pattern.search(text) for pattern in _HINT for text in texts)


def _stands_in(answer: str, text: str) -> bool:
    return f" {answer} " in f" {normalize_answer(text)} "
