"""How a teacher's answers are matched to the student's own questions, in training and at test time alike."""

from collections.abc import Sequence

from askback.contracts.records import Exchange


def pair(questions: Sequence[str], answers: Sequence[str]) -> list[Exchange]:
    """Questions with their answers, in order; answers in excess join the last, questions without an answer are left out."""
    if not questions or not answers:
        return []
    last = min(len(questions), len(answers)) - 1
    paired = [*answers[:last], " ".join(answers[last:])]
    return [Exchange(question=question, answer=answer) for question, answer in zip(questions, paired, strict=False)]
