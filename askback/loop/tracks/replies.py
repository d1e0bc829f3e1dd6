"""Which further replies of the teacher become rows of their own (Ho et al. 2022: diverse reasoning)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from askback.contracts.records import TeacherReply, Trace
from askback.loop.config import TracksConfig
from askback.loop.tracks.filters import Surroundings, balanced, tells_answer, too_long
from askback.loop.tracks.forms import teacher_is_right
from askback.loop.tracks.sentences import last_sentences
from askback.tasks import Task


@dataclass(frozen=True)
class Further:
    """`counts`: `offered` = `used` + what was left out, by reason."""

    replies: dict[str, list[TeacherReply]] = field(default_factory=dict)
    """By the question's id, in the order in which they came."""
    counts: dict[str, int] = field(default_factory=dict)


def further(
    config: TracksConfig, task: Task, kept: Sequence[Trace], replies: Mapping[str, Sequence[TeacherReply]], seed: int, around: Surroundings
) -> Further:
    """The further `replies`, by the question's id, that stand beside the first ones of the `kept` questions.

    Each must pass by itself what a question must: a right verdict, a thought, no telling question, its row within the limit of `cot`. A
    thought that was there before is none. The classes are balanced again, since the teacher is right more often on one than on the other.
    """
    if config.replies == 1:
        return Further()
    reasons: Counter[str] = Counter()
    passed: list[Trace] = []
    for trace in kept:
        thoughts = {last_sentences(trace.reply.thought, config.thought_sentences)}
        for reply in replies.get(trace.sample.id, ())[: config.replies - 1]:
            one, thought = trace.model_copy(update={"reply": reply}), last_sentences(reply.thought, config.thought_sentences)
            reason = _refused(config, task, one, around) or ("duplicate" if thought in thoughts else "")
            reasons[reason or "passed"] += 1
            if not reason:
                thoughts.add(thought)
                passed.append(one)
    used = balanced(passed, lambda trace: trace.sample.answer, seed) if config.balance and task.choices else passed
    found: dict[str, list[TeacherReply]] = {}
    for one in used:
        found.setdefault(one.sample.id, []).append(one.reply)
    offered, even = reasons.total(), {"class_balance": reasons.pop("passed", 0) - len(used)}
    return Further(found, {"offered": offered, "used": len(used)} | {reason: count for reason, count in (reasons | even).items() if count})


def _refused(config: TracksConfig, task: Task, one: Trace, around: Surroundings) -> str:
    """Why the reply of `one` is left out; empty where it is not."""
    limits = {track: limit for track, limit in around.limits.items() if track == "cot"}
    if not teacher_is_right(task, one):
        return "teacher_disagrees"
    if not one.reply.thought.strip():
        return "no_thought"
    if config.leaks and tells_answer(task, one, around.max_questions):
        return "question_leaks_answer"
    return "too_long" if config.length and too_long(task, one, config, replace(around, limits=limits)) else ""
