"""The rows of every track, in TRL's conversational form and in the plain one, made from the traces."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from askback.contracts.records import Example, Message, PreferencePair, Sample, TeacherReply, Trace
from askback.contracts.student import Asker
from askback.loop.tracks.own_questions import own_exchanges
from askback.loop.tracks.sentences import last_sentences
from askback.tasks import Task
from askback.tasks.task import numbered
from askback.tasks.word_runs import words

Row = Example | PreferencePair
COT = "rationale-first"


def teacher_is_right(task: Task, trace: Trace) -> bool:
    """Rejection sampling: a trace is worth keeping when the teacher's verdict equals the gold answer."""
    return task.is_correct(trace.reply.answer, trace.sample)


def draft_is_right(task: Task, trace: Trace) -> bool:
    """Whether the student was right unaided, as it stands or as its text is read."""
    draft = trace.draft.answer
    return task.is_correct(draft, trace.sample) or task.is_correct(task.parse_answer(draft), trace.sample)


@dataclass(frozen=True)
class Thoughts:
    """What stands of a teacher's thought in the track `cot`."""

    sentences: int | None = None
    """The last so many of them; None takes all."""
    further: Mapping[str, Sequence[TeacherReply]] = field(default_factory=dict)
    """By the question's id, further replies whose thought is a row of its own."""
    rationales: Set[str] | None = None
    """Ids of the questions whose thought is a row of its own in `multitask`; None takes all."""


WHOLE = Thoughts()


def build(
    task: Task, traces: Sequence[Trace], max_questions: int, cot: str = COT, thoughts: Thoughts = WHOLE, asker: Asker = Asker.TEACHER
) -> dict[str, list[Row]]:
    """The rows of every track, in the order of the traces; `cot` is the form of that track (`askback.tasks.task.COT_ROLES`), and `asker`
    whose questions `dialogue` teaches."""
    builders: dict[str, Callable[[Task, Trace], list[Row]]] = {
        "direct": _direct,
        "cot": partial(_cot, form=cot, thoughts=thoughts),
        "context": _context,
        "dialogue": partial(_dialogue, max_questions=max_questions, asker=asker),
        "preference": _preference,
    }
    return {name: [row for trace in traces for row in builder(task, trace)] for name, builder in builders.items()}


def plain(task: Task, traces: Sequence[Trace], most: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """`direct` as {question, answer} and `cot` as {question, cot, answer}; questions over passages keep their supporting sentences.

    `most` is the number of sentences that are kept of a thought, from its end.
    """
    direct: list[dict[str, Any]] = []
    cot: list[dict[str, Any]] = []
    for trace in traces:
        sample = trace.sample
        ends = {"answer": _answer(task, trace), **_support(sample)}
        direct.append({"question": sample.question, **ends})
        if trace.reply.thought.strip():
            cot.append({"question": sample.question, "cot": last_sentences(trace.reply.thought, most), **ends})
    return {"direct": direct, "cot": cot}


def _support(sample: Sample) -> dict[str, Any]:
    return {"supporting_sentences": sample.facts} if sample.supporting_facts else {}


def _answer(task: Task, trace: Trace) -> str:
    """The gold span where the teacher agrees with it, so that spelling variants of the teacher are not learnt."""
    return trace.sample.answer if teacher_is_right(task, trace) else trace.reply.answer


def _final(task: Task, trace: Trace) -> str:
    return task.final_answer(_answer(task, trace), trace.sample)


def _example(trace: Trace, prompt: list[Message], completion: str) -> Example:
    answer = [Message(role="assistant", content=completion)]
    return Example(prompt=prompt, completion=answer, sample_id=trace.sample.id, label=trace.sample.answer)


def _asked(task: Task, trace: Trace, role: str, thought: str = "") -> list[Message]:
    return task.prompt(role, trace.sample.question, passages=trace.sample.passages, thought=thought)


def _direct(task: Task, trace: Trace) -> list[Row]:
    return [_example(trace, _asked(task, trace, "direct"), _final(task, trace))]


def _cot(task: Task, trace: Trace, form: str, thoughts: Thoughts) -> list[Row]:
    """One row a reply, or two for `multitask` (Hsieh et al. 2023): the answer under [label], the thought under [rationale].

    A first reply without a thought gives no row; where no sentence of it is kept, the verdict alone stands behind the prompt.
    """
    sample_id = trace.sample.id
    if not trace.reply.thought.strip():
        return []
    thought, prompt = last_sentences(trace.reply.thought, thoughts.sentences), _asked(task, trace, task.cot_role(form))
    if form == "multitask":
        told = bool(thought) and (thoughts.rationales is None or sample_id in thoughts.rationales)
        rationale = [_example(trace, _asked(task, trace, "rationale"), thought)] if told else []
        return [_example(trace, prompt, _final(task, trace)), *rationale]
    others = [last_sentences(reply.thought, thoughts.sentences) for reply in thoughts.further.get(sample_id, ())]
    return [_example(trace, prompt, _reasoned(one, _final(task, trace), form)) for one in (thought, *others)]


def _reasoned(thought: str, final: str, form: str) -> str:
    parts = [thought, f"The answer is {final}"] if thought else [f"The answer is {final}"]
    return "\n".join(parts[::-1] if form == "answer-first" else parts)


def _context(task: Task, trace: Trace) -> list[Row]:
    """Reads what a student reads at test time: the answers on one line, and the thought only where the teacher answered no question.

    A reply without a thought has nothing to read and gives no row.
    """
    thought = trace.reply.thought
    read = " ".join(exchange.answer for exchange in trace.reply.exchanges) or thought
    return [_example(trace, _asked(task, trace, "context", read), _final(task, trace))] if thought.strip() else []


def _dialogue(task: Task, trace: Trace, max_questions: int, asker: Asker) -> list[Row]:
    """One row per student turn: the questions worth asking (those that were answered), then the answer.

    A trace without such questions teaches no asking and gives no rows.
    """
    exchanges = trace.reply.exchanges[:max_questions] if asker is Asker.TEACHER else own_exchanges(task, trace, max_questions)
    if not exchanges:
        return []
    sample = trace.sample
    asking = task.prompt("clarify", sample.question, passages=sample.passages, max_questions=max_questions)
    answering = task.prompt("rewrite", sample.question, passages=sample.passages, exchanges=exchanges, max_questions=max_questions)
    questions = numbered([exchange.question for exchange in exchanges])
    return [_example(trace, asking, questions), _example(trace, answering, _final(task, trace))]


def _preference(task: Task, trace: Trace) -> list[Row]:
    """The teacher's answer over the student's draft, where the teacher is right, the draft is wrong and the two differ in words."""
    chosen, rejected = _final(task, trace), trace.draft.answer
    same = words(rejected) in (words(chosen), words(_answer(task, trace)))
    if not teacher_is_right(task, trace) or draft_is_right(task, trace) or same or not rejected.strip():
        return []
    sides = {name: [Message(role="assistant", content=text)] for name, text in (("chosen", chosen), ("rejected", rejected))}
    return [PreferencePair(prompt=_asked(task, trace, "direct"), **sides, sample_id=trace.sample.id, label=trace.sample.answer)]
