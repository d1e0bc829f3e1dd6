"""Parse a teacher's reply: `Q1. question`, its answer, ..., `THOUGHT: steps`, `The answer is X.`

Without a THOUGHT, and with a line `Final answer: question` before the verdict, this is also the form of GPT-4's least-to-most
recordings. A free chain of thought that ends in `the answer is X` is read as one thought without exchanges.
"""

import re
from collections.abc import Callable

from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Exchange, TeacherReply

_QUESTION = re.compile(r"^\s*Q\d+[.:)]\s*(?P<question>.+?)\s*$")
_THOUGHT = re.compile(r"^[\s*#]*thought[\s*]*:[\s*]*(?P<text>.*)$", re.IGNORECASE)  # also in Markdown's bold or as its heading
_FINAL = re.compile(r"^\s*Final answer\s*:", re.IGNORECASE)
_VERDICT = re.compile(r"\b(?:so\s+)?(?:the|final)\s+answer(?:\s+is|\s*:)", re.IGNORECASE)


def parse(text: str, parse_answer: Callable[[str], str | None]) -> TeacherReply:
    """Split `text`; the thought is the answers and then the steps, without the verdict and all that follows it.

    Raises UpstreamRejected when no verdict is found.
    """
    body, tail = _split_at_verdict(text)
    answer = parse_answer(tail)
    if answer is None:
        raise UpstreamRejected(f"the teacher's reply has no verdict: {text.strip()[-120:]!r}")
    exchanges, steps = _sections(body)
    thought = _joined([*(exchange.answer for exchange in exchanges), steps]) if exchanges else _without_lead(body)
    return TeacherReply(exchanges=exchanges, thought=thought, answer=answer, text=text)


def answers(text: str, parse_answer: Callable[[str], str | None]) -> list[str]:
    """What a student may read of a reply: the answers to the questions, else the free thought. Never the verdict.

    Beside answers, the steps under THOUGHT are left out, since they argue towards the verdict.
    Answers to questions need no verdict behind them. A free thought without one raises UpstreamRejected, since there is no
    telling where its conclusion begins.
    """
    exchanges, _ = _sections(_split_at_verdict(text)[0])
    return [exchange.answer for exchange in exchanges] or [parse(text, parse_answer).thought]


def exchanges(text: str, parse_answer: Callable[[str], str | None]) -> list[Exchange]:
    """The sub-questions of a reply with their answers, each cut off where it tells a verdict; empty for a reply without any."""
    asked, _ = _sections(_split_at_verdict(text)[0])
    cut = [Exchange(question=one.question, answer=_before_verdict(one.answer, parse_answer)) for one in asked]
    return [one for one in cut if one.answer and _before_verdict(one.question, parse_answer) == one.question]


def _before_verdict(text: str, parse_answer: Callable[[str], str | None]) -> str:
    begins = (match.start() for match in _VERDICT.finditer(text))
    return text[: next((begin for begin in begins if parse_answer(text[begin:]) is not None), len(text))].strip()


def _split_at_verdict(text: str) -> tuple[str, str]:
    """(reasoning, verdict): behind `Final answer:` where there is one, else at the last `the answer is`."""
    lines = text.strip().splitlines()
    for i, line in enumerate(lines):
        if _FINAL.match(line):
            return "\n".join(lines[:i]), "\n".join(lines[i + 1 :]) or line  # the next line has the verdict; this one may
    verdicts = list(_VERDICT.finditer(text))
    if verdicts:
        return text[: verdicts[-1].start()], text[verdicts[-1].start() :]
    return text, text


def _sections(body: str) -> tuple[list[Exchange], str]:
    """(questions with their answers, the steps). A line belongs to the question or THOUGHT before it; what precedes both, to neither."""
    found: list[tuple[str, list[str]]] = []
    steps: list[str] = []
    lines: list[str] = []
    for line in body.splitlines():
        if asked := _QUESTION.match(line):
            lines = []
            found.append((asked["question"], lines))
        elif opened := _THOUGHT.match(line):
            lines = steps
            lines.append(opened["text"])
        else:
            lines.append(line)
    exchanges = [Exchange(question=question, answer=_joined(answer)) for question, answer in found if _joined(answer)]
    return exchanges, _joined(steps)


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())


def _without_lead(body: str) -> str:
    """Free reasoning on one line, without a leading `THOUGHT:`, and without a `Yes,` or `No,` that would give the verdict away."""
    return re.sub(r"^\s*(?:[*#\s]*thought[*\s]*:[*\s]*)?(?:(?:yes|no)\b[,.:;]?\s*)?", "", " ".join(body.split()), flags=re.IGNORECASE)
