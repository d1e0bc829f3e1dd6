"""The student's own questions as training rows: what goes back into the next round (self-improvement)."""

from askback.contracts.records import Exchange, Trace
from askback.tasks import Task
from askback.tasks.leaks import leaks
from askback.tasks.nearest import nearest, steps_to


def own_exchanges(task: Task, trace: Trace, max_questions: int) -> list[Exchange]:
    """The draft's first questions that somebody answers, with the teacher's answer nearest to each, else the dataset's fact nearest to it.

    A question that tells the gold answer is left out, and so is one that neither answers. An answer is given once.
    """
    sample = trace.sample
    questions = [question for question in trace.draft.questions[:max_questions] if not leaks(task, question, sample)]
    taught = nearest(questions, steps_to(sample.question, task.teacher_exchanges(trace.reply.text)))
    left = [question for question, answer in zip(questions, taught, strict=True) if answer is None]
    facts = iter(nearest(left, [Exchange(question="", answer=fact) for fact in sample.facts]))
    answers = [next(facts) if answer is None else answer for answer in taught]
    return [Exchange(question=question, answer=answer) for question, answer in zip(questions, answers, strict=True) if answer]
