"""Stage `tracks`: parallel corpora from the traces, each filter with its counts, classes balanced after the filters."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from askback.contracts.records import Example, Message, PreferencePair, Trace
from askback.loop.config import TracksConfig
from askback.tasks import Task
from askback.tasks.task import numbered

Row = Example | PreferencePair
Step = dict[str, Any]
Labelled = TypeVar("Labelled")


def teacher_is_right(task: Task, trace: Trace) -> bool:
    """Rejection sampling: keep a trace when the teacher's verdict equals the gold answer."""
    return task.is_correct(trace.reply.answer, trace.sample)


def balanced(rows: Sequence[Labelled], label: Callable[[Labelled], str], seed: int) -> list[Labelled]:
    """As many rows of each label as the rarest has, drawn with `seed`, in their order; one label alone is kept whole."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_label[label(row)].append(index)
    size = min((len(indices) for indices in by_label.values()), default=0)
    generator = random.Random(seed)  # noqa: S311
    kept = sorted(index for name in sorted(by_label) for index in generator.sample(by_label[name], size))
    return [rows[index] for index in kept]


def select(config: TracksConfig, task: Task, traces: Sequence[Trace], seed: int) -> tuple[list[Trace], list[Step]]:
    """The traces to train on, and one entry per filter with counts and classes before and after."""
    steps: list[Step] = []
    kept = list(traces)
    if not config.keep_wrong:
        right = [trace for trace in kept if teacher_is_right(task, trace)]
        kept = _filtered(steps, task, "teacher agrees with gold", _gold, kept, right)
    if config.balance and task.choices:
        kept = _filtered(steps, task, "classes balanced", _gold, kept, balanced(kept, _gold, seed))
    return kept, steps


def select_pairs(config: TracksConfig, task: Task, traces: Sequence[Trace], pairs: Sequence[Row], seed: int) -> tuple[list[Row], list[Step]]:
    """The pairs made from `traces`, with their classes balanced again: drafts are wrong more often on one class than on the other."""
    made = {pair.sample_id for pair in pairs}
    steps: list[Step] = []
    _filtered(steps, task, "pairs: the draft is wrong", _gold, list(traces), [trace for trace in traces if trace.sample.id in made])
    if config.balance and task.choices:
        pairs = _filtered(steps, task, "pairs: classes balanced", _label, list(pairs), balanced(pairs, _label, seed))
    return list(pairs), steps


def _filtered(
    steps: list[Step], task: Task, name: str, label: Callable[[Labelled], str], before: list[Labelled], after: list[Labelled]
) -> list[Labelled]:
    step: Step = {"filter": name, "before": len(before), "after": len(after)}
    if task.choices:
        step |= {"classes_before": _classes(map(label, before)), "classes_after": _classes(map(label, after))}
    steps.append(step)
    return after


def _gold(trace: Trace) -> str:
    return trace.sample.answer


def _label(row: Row) -> str:
    return row.label


def _classes(labels: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))


def build(task: Task, traces: Sequence[Trace], max_questions: int) -> dict[str, list[Row]]:
    """The rows of every track, in the order of the traces."""
    builders: dict[str, Callable[[Task, Trace, int], list[Row]]] = {
        "direct": _direct,
        "cot": _cot,
        "context": _context,
        "dialogue": _dialogue,
        "preference": _preference,
    }
    return {name: [row for trace in traces for row in builder(task, trace, max_questions)] for name, builder in builders.items()}


def _example(trace: Trace, prompt: list[Message], completion: str) -> Example:
    answer = [Message(role="assistant", content=completion)]
    return Example(prompt=prompt, completion=answer, sample_id=trace.sample.id, label=trace.sample.answer)


def _final(task: Task, trace: Trace) -> str:
    return task.final_answer(trace.reply.answer, trace.sample)


def _direct(task: Task, trace: Trace, _: int) -> list[Row]:
    prompt = task.prompt("direct", trace.sample.question, passages=trace.sample.passages)
    return [_example(trace, prompt, _final(task, trace))]


def _cot(task: Task, trace: Trace, _: int) -> list[Row]:
    prompt = task.prompt("cot", trace.sample.question, passages=trace.sample.passages)
    return [_example(trace, prompt, f"{trace.reply.thought}\nThe answer is {_final(task, trace)}")]


def _context(task: Task, trace: Trace, _: int) -> list[Row]:
    prompt = task.prompt("context", trace.sample.question, passages=trace.sample.passages, thought=trace.reply.thought)
    return [_example(trace, prompt, _final(task, trace))]


def _dialogue(task: Task, trace: Trace, max_questions: int) -> list[Row]:
    """One row per student turn: the questions worth asking (those that the teacher answered), then the answer.

    A reply without sub-questions teaches no asking and gives no rows.
    """
    exchanges = trace.reply.exchanges[:max_questions]
    if not exchanges:
        return []
    sample = trace.sample
    asking = task.prompt("clarify", sample.question, passages=sample.passages, max_questions=max_questions)
    answering = task.prompt("rewrite", sample.question, passages=sample.passages, exchanges=exchanges, max_questions=max_questions)
    questions = numbered([exchange.question for exchange in exchanges])
    return [_example(trace, asking, questions), _example(trace, answering, _final(task, trace))]


def _preference(task: Task, trace: Trace, _: int) -> list[Row]:
    """The teacher's answer over the student's draft, where the teacher is right and the draft is wrong."""
    if not teacher_is_right(task, trace) or task.is_correct(trace.draft.answer, trace.sample):
        return []
    prompt = task.prompt("direct", trace.sample.question, passages=trace.sample.passages)
    chosen, rejected = (Message(role="assistant", content=text) for text in (_final(task, trace), trace.draft.answer))
    return [PreferencePair(prompt=prompt, chosen=[chosen], rejected=[rejected], sample_id=trace.sample.id, label=trace.sample.answer)]
