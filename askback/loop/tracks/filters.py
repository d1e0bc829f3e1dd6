"""The filters between traces and tracks: each with its counts, each dropped question with its reason."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from askback.contracts.records import Example, Message, Record, Sample, Trace
from askback.loop.config import TracksConfig
from askback.loop.sample import share
from askback.loop.tokenizers_counter import TokenCounter, WordEstimate, conversation_tokens
from askback.loop.tracks import ngrams
from askback.loop.tracks.forms import Row, Thoughts, build, teacher_is_right
from askback.tasks import Task
from askback.tasks.leaks import leaks, tells_hint

Step = dict[str, Any]
Labelled = TypeVar("Labelled")
Keep = Callable[[list[Trace]], list[Trace]]

REASONS = {
    "teacher_disagrees": "teacher agrees with gold",
    "tells_hint": "no hinted reply tells of its hint",
    "question_leaks_answer": "no clarifying question tells the answer",
    "duplicate": "no duplicates",
    "near_duplicate": "no near duplicates",
    "overlaps_dev": "no overlap with dev questions",
    "too_long": "within the token limit",
    "not_in_share": "in the share to train on",
    "class_balance": "classes balanced",
}
"""Why a question is dropped, as it stands in `dropped.jsonl`, with its filter's title; in the order of the filters."""


class Dropped(Record):
    """A harvested question that is in no track."""

    sample_id: str
    reason: str


@dataclass(frozen=True)
class Surroundings:
    """What the filters need beside the configuration."""

    dev: Sequence[Sample] = ()
    """The questions that the student is tested on."""
    max_questions: int = 2
    limits: Mapping[str, int] = field(default_factory=dict)
    """Most tokens of a row by track; a track that is not named has no limit."""
    counter: TokenCounter = field(default_factory=WordEstimate)
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    """How uncertain the student was about a question, by its id, from 0 to 1; empty unless it was asked."""


@dataclass(frozen=True)
class Selection:
    """The traces to train on, one entry per filter with counts and classes before and after, and who was dropped."""

    kept: list[Trace]
    steps: list[Step]
    dropped: list[Dropped]


def balanced(rows: Sequence[Labelled], label: Callable[[Labelled], str], seed: int) -> list[Labelled]:
    """As many rows of each label as the rarest has, drawn with `seed`, in their order; one label alone is kept whole."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_label[label(row)].append(index)
    size = min((len(indices) for indices in by_label.values()), default=0)
    generator = random.Random(seed)  # noqa: S311
    kept = sorted(index for name in sorted(by_label) for index in generator.sample(by_label[name], size))
    return [rows[index] for index in kept]


def select(config: TracksConfig, task: Task, traces: Sequence[Trace], seed: int, around: Surroundings | None = None) -> Selection:
    """Pass `traces`, one per question, through every filter that is on."""
    steps: list[Step] = []
    dropped: list[Dropped] = []
    kept = list(traces)
    for reason, keep in _filters(config, task, seed, around or Surroundings(), any(trace.hinted for trace in traces)).items():
        after = keep(kept)
        stayed = {trace.sample.id for trace in after}
        dropped += [Dropped(sample_id=trace.sample.id, reason=reason) for trace in kept if trace.sample.id not in stayed]
        kept = _filtered(steps, task, REASONS[reason], _gold, kept, after)
        steps[-1]["reason"] = reason
    return Selection(kept, steps, dropped)


def select_pairs(config: TracksConfig, task: Task, traces: Sequence[Trace], pairs: Sequence[Row], seed: int) -> tuple[list[Row], list[Step]]:
    """The pairs made from `traces`, with their classes balanced again: drafts are wrong more often on one class than on the other."""
    made = {pair.sample_id for pair in pairs}
    steps: list[Step] = []
    _filtered(steps, task, "pairs: the draft is wrong", _gold, list(traces), [trace for trace in traces if trace.sample.id in made])
    if config.balance and task.choices:
        pairs = _filtered(steps, task, "pairs: classes balanced", _label, list(pairs), balanced(pairs, _label, seed))
    return list(pairs), steps


def _filters(config: TracksConfig, task: Task, seed: int, around: Surroundings, hinted: bool) -> dict[str, Keep]:
    """By reason, the filters that are on; that of hints only where there are any. The balance comes last, since the others may tilt the classes."""
    dev = [sample.question for sample in around.dev]
    filters: dict[str, tuple[bool, Keep]] = {
        "teacher_disagrees": (not config.keep_wrong, lambda traces: [one for one in traces if teacher_is_right(task, one)]),
        "tells_hint": (config.hints and hinted, lambda traces: [one for one in traces if not (one.hinted and tells_hint(one.reply))]),
        "question_leaks_answer": (config.leaks, lambda traces: [one for one in traces if not tells_answer(task, one, around.max_questions)]),
        "duplicate": (config.duplicates, lambda traces: _without(traces, ngrams.repeated(_questions(traces)))),
        "near_duplicate": (
            config.duplicates,
            lambda traces: _without(traces, ngrams.nearly_repeated(_questions(traces), config.near_duplicate)),
        ),
        "overlaps_dev": (config.overlap, lambda traces: _without(traces, ngrams.overlapping(_questions(traces), dev, config.overlap_words))),
        "too_long": (config.length, lambda traces: [one for one in traces if not too_long(task, one, config, around)]),
        "not_in_share": (config.share < 1, lambda traces: _shared(config, task, traces, seed, around)),
        "class_balance": (config.balance and bool(task.choices), lambda traces: balanced(traces, _gold, seed)),
    }
    return {reason: keep for reason, (on, keep) in filters.items() if on}


def _questions(traces: Sequence[Trace]) -> list[str]:
    return [trace.sample.question for trace in traces]


def _without(traces: Sequence[Trace], positions: set[int]) -> list[Trace]:
    return [trace for position, trace in enumerate(traces) if position not in positions]


def tells_answer(task: Task, trace: Trace, max_questions: int) -> bool:
    """Whether one of the questions that the student would learn to ask tells the answer."""
    return any(leaks(task, exchange.question, trace.sample) for exchange in trace.reply.exchanges[:max_questions])


def too_long(task: Task, trace: Trace, config: TracksConfig, around: Surroundings) -> bool:
    """Whether one row of one track is over its limit; the tracks stay parallel, so that one row costs its question everywhere."""
    thoughts = Thoughts(config.thought_sentences)
    built = build(task, [trace], around.max_questions, config.cot, thoughts, config.asker) if around.limits else {}
    return any(
        conversation_tokens(around.counter, messages) > around.limits[name]
        for name, rows in built.items()
        if name in around.limits
        for row in rows
        for messages in _conversations(row)
    )


def _shared(config: TracksConfig, task: Task, traces: list[Trace], seed: int, around: Surroundings) -> list[Trace]:
    known = around.uncertainty if config.by == "uncertainty" else None
    chosen = share(task, [trace.sample for trace in traces], config.share, seed, known) if traces else set()
    return [trace for trace in traces if trace.sample.id in chosen]


def _conversations(row: Row) -> list[list[Message]]:
    replies = [row.completion] if isinstance(row, Example) else [row.chosen, row.rejected]
    return [[*row.prompt, *reply] for reply in replies]


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
