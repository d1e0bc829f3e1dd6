"""The questions that are harvested, and the prompts that come of them."""

from askback.contracts.records import Sample
from askback.tasks import task_named
from benchmarks.fake_student import DRAFT

TASK = "strategyqa"


def samples(count: int) -> list[Sample]:
    """`count` distinct questions, the same at every call."""
    return [
        Sample(id=f"q{number}", task=TASK, question=f"Is {number:012d} a number that somebody could count to?", answer="yes")
        for number in range(count)
    ]


def teacher_prompts(count: int) -> list[str]:
    """What the teacher is asked about each of `samples(count)` behind the fake student's draft."""
    task = task_named(TASK)
    return [task.prompt("teacher", sample.question, draft=DRAFT)[0].content for sample in samples(count)]
