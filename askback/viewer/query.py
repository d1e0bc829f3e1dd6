"""Filter, search, sort and count the rows."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestStage
from askback.viewer.traces import TraceRow

_WORDS = re.compile(r'"([^"]+)"|(\S+)')
_MOST_VALUES = 12
"""Values of one filter that are listed; free answers have thousands, and those are found by search."""


def _verdict(right: bool | None) -> tuple[str, ...]:
    return ("none",) if right is None else ("right",) if right else ("wrong",)


def _status(row: TraceRow) -> tuple[str, ...]:
    """The kind and, where there is a reason, kind and reason: each can be filtered by."""
    return (row.fate.kind,) if not row.fate.reason else (row.fate.kind, row.fate.name)


def _backend(row: TraceRow) -> tuple[str, ...]:
    return (row.taught.backend or "none",) if HarvestStage.TEACHER in row.latest else ("none",)


FILTERS: dict[str, Callable[[TraceRow], tuple[str, ...]]] = {
    "status": _status,
    "teacher": lambda row: _verdict(row.teacher_right),
    "draft": lambda row: _verdict(row.draft_right),
    "rewrite": lambda row: _verdict(row.rewrite_right),
    "gold": lambda row: (row.sample.answer,),
    "backend": _backend,
    "hint": lambda row: (row.hint,) if row.hint else (),
}
"""The values of a row by filter; a row passes when one of them is asked for."""


def cost(row: TraceRow) -> float:
    """Dollars of all tries."""
    return sum(record.usage.cost_usd for record in [*row.latest.values(), *row.earlier])


def tokens(row: TraceRow) -> int:
    """Tokens of all tries, prompts and completions."""
    return sum(record.usage.prompt_tokens + record.usage.completion_tokens for record in [*row.latest.values(), *row.earlier])


def latency(row: TraceRow) -> float:
    """Seconds of the tries that count."""
    return sum(record.usage.latency_s for record in row.latest.values())


def p_yes(row: TraceRow) -> float | None:
    """The student's P(yes) at its draft, for yes/no tasks."""
    record = row.latest.get(HarvestStage.DRAFT)
    return record.draft.p_yes if record and record.draft else None


def answer_of(row: TraceRow, stage: HarvestStage) -> str | None:
    """The answer that a stage gave; None where it gave none. The teacher's is that of the reply which counts."""
    record = row.taught if stage is HarvestStage.TEACHER else row.latest.get(stage)
    if record is None:
        return None
    return record.draft.answer if record.draft else record.reply.answer if record.reply else record.rewrite


def _by_answer(stage: HarvestStage) -> Callable[[TraceRow], tuple[bool, str]]:
    return lambda row: ((answer := answer_of(row, stage)) is None, (answer or "").lower())


SORTS: dict[str, Callable[[TraceRow], tuple[object, ...]]] = {
    "index": lambda row: (row.index,),
    "question": lambda row: (row.sample.question.lower(),),
    "gold": lambda row: (row.sample.answer.lower(),),
    "draft": _by_answer(HarvestStage.DRAFT),
    "p_yes": lambda row: ((p := p_yes(row)) is None, p or 0.0),
    "teacher": _by_answer(HarvestStage.TEACHER),
    "rewrite": _by_answer(HarvestStage.REWRITE),
    "status": lambda row: (row.fate.name,),
    "backend": _backend,
    "cost": lambda row: (cost(row),),
    "tokens": lambda row: (tokens(row),),
    "latency": lambda row: (latency(row),),
}


@dataclass(frozen=True)
class Query:
    """What is asked of the rows. Values of one filter are alternatives; filters and words must all hold."""

    wanted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Sequence[str] = ()
    sort: str = "index"
    descending: bool = False

    @classmethod
    def parse(cls, fields: Mapping[str, Sequence[str]]) -> "Query":
        """From the fields of a URL's query; raises InvalidInput for a `sort` that does not exist."""
        sort = (fields.get("sort") or ["index"])[0]
        if sort not in SORTS:
            raise InvalidInput(f"sort: {sort!r} is none of {', '.join(SORTS)}")
        search = " ".join(fields.get("q", ())).lower()
        words = [phrase or word for phrase, word in _WORDS.findall(search)]
        return cls({name: fields[name] for name in FILTERS if fields.get(name)}, words, sort, fields.get("desc") == ["1"])


@dataclass(frozen=True)
class Found:
    """The rows that pass, sorted, and the counts beside the filters."""

    rows: Sequence[TraceRow]
    counts: Mapping[str, Sequence[tuple[str, int]]]
    """By filter: (value, rows that would pass with this value in place of the filter's choice), most first."""
    more: Mapping[str, int]
    """By filter: how many values are not listed."""


def find(rows: Sequence[TraceRow], query: Query) -> Found:
    """The rows that pass `query`. A row that one filter alone keeps out counts beside that filter's values."""
    passed: list[TraceRow] = []
    counts: dict[str, Counter[str]] = {name: Counter() for name in FILTERS}
    for row in rows:
        values = {name: of(row) for name, of in FILTERS.items()}
        for name, found in counts.items():
            found.update(dict.fromkeys(values[name], 0))
        against = [name for name, wanted in query.wanted.items() if not set(values[name]) & set(wanted)]
        if len(against) > 1 or not all(word in row.text for word in query.words):
            continue
        if not against:
            passed.append(row)
        for name in against or FILTERS:
            counts[name].update(values[name])
    passed.sort(key=SORTS[query.sort], reverse=query.descending)
    listed = {name: _listed(found, query.wanted.get(name, ())) for name, found in counts.items()}
    more = {name: sum(count > 0 for count in found.values()) - sum(count > 0 for _, count in listed[name]) for name, found in counts.items()}
    return Found(passed, listed, more)


def _listed(found: Counter[str], wanted: Sequence[str]) -> list[tuple[str, int]]:
    """The most frequent values, and the chosen ones in any case, so that a choice can be undone. Few values stay listed when they count 0."""
    by_count = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    most = by_count if len(found) <= _MOST_VALUES else [pair for pair in by_count[:_MOST_VALUES] if pair[1]]
    return most + [(value, found[value]) for value in wanted if value not in dict(most)]
