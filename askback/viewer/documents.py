"""The JSON documents of the API: a line of the list, and one row with all that is known of it."""

import re
from difflib import SequenceMatcher
from typing import Any

from askback.contracts.records import HarvestRecord, HarvestStage
from askback.viewer.query import Found, answer_of, cost, latency, p_yes, tokens
from askback.viewer.traces import TraceRow

_PARTS = re.compile(r"(?:\w+|[^\w\s])\s*|\s+")


def page(run_id: str, version: str, sampled: int, found: Found, offset: int, limit: int, at: str) -> dict[str, Any]:
    """`limit` lines from `offset` on, the counts beside the filters, and the place of row `at` (None when it did not pass)."""
    return {
        "run": run_id,
        "version": version,
        "sampled": sampled,
        "total": len(found.rows),
        "cost_usd": sum(map(cost, found.rows)),
        "tokens": sum(map(tokens, found.rows)),
        "filters": {name: {"values": values, "more": found.more[name]} for name, values in found.counts.items()},
        "place": next((place for place, row in enumerate(found.rows) if row.sample.id == at), None) if at else None,
        "offset": offset,
        "rows": [line(row) for row in found.rows[offset : offset + limit]],
    }


def line(row: TraceRow) -> dict[str, Any]:
    """What one line of the list shows."""
    return {
        "id": row.sample.id,
        "index": row.index,
        "question": row.sample.question,
        "gold": row.sample.answer,
        "status": row.fate.kind,
        "reason": row.fate.reason,
        "draft": {"answer": answer_of(row, HarvestStage.DRAFT), "right": row.draft_right},
        "p_yes": p_yes(row),
        "teacher": {"answer": answer_of(row, HarvestStage.TEACHER), "right": row.teacher_right},
        "rewrite": {"answer": answer_of(row, HarvestStage.REWRITE), "right": row.rewrite_right},
        "backend": row.taught.backend,
        "hint": row.hint,
        "cost_usd": cost(row),
        "tokens": tokens(row),
        "latency_s": latency(row),
    }


def whole(row: TraceRow) -> dict[str, Any]:
    """One row with everything: the line, the sample's annotations, each stage's output and price, and why it is where it is."""
    draft = row.latest[HarvestStage.DRAFT].draft if HarvestStage.DRAFT in row.latest else None
    reply, sample = row.taught.reply, row.sample
    hint = row.latest.get(HarvestStage.HINT)
    other = row.latest[HarvestStage.TEACHER] if row.hint == "used" else hint
    return line(row) | {
        "why": why(row),
        "tracks": list(row.tracks),
        "task": sample.task,
        "kind": sample.kind,
        "facts": sample.facts,
        "decomposition": sample.decomposition,
        "passages": [{"title": passage.title, "text": passage.text} for passage in sample.passages],
        "questions": draft.questions if draft else [],
        "exchanges": [exchange.model_dump() for exchange in reply.exchanges] if reply else [],
        "thought": reply.thought if reply else None,
        "reply": reply.text if reply else None,
        "other_reply": other.reply.text if other and other.reply else None,
        "hint_error": hint.error if hint else None,
        "diff": difference(answer_of(row, HarvestStage.DRAFT), answer_of(row, HarvestStage.REWRITE)),
        "stages": [_stage(row.latest[stage]) for stage in HarvestStage if stage in row.latest],
        "earlier": [_stage(record) for record in row.earlier],
    }


def why(row: TraceRow) -> str:
    """One sentence on the row's fate."""
    fate = row.fate
    if fate.kind == "kept":
        return f"In {len(row.tracks)} tracks: {', '.join(row.tracks)}." if len(row.tracks) > 1 else f"In the track {row.tracks[0]}."
    if fate.kind == "dropped":
        return f"Harvested, and in no track: {fate.reason.replace('_', ' ')}."
    if fate.kind == "failed":
        return f"The stage {fate.reason} ended with an error: {row.latest[HarvestStage(fate.reason)].error}"
    return "Harvested; the tracks are not built yet." if fate.reason == "tracks" else f"The stage {fate.reason} is not done yet."


def difference(before: str | None, after: str | None) -> list[tuple[str, str]]:
    """(`same`, `gone` or `new`, text) from `before` to `after`, by word; empty where one of them is missing."""
    if before is None or after is None:
        return []
    left, right = _PARTS.findall(before), _PARTS.findall(after)
    parts: list[tuple[str, str]] = []
    for code, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if code == "equal":
            parts.append(("same", "".join(left[a:b])))
            continue
        parts += [(name, "".join(words)) for name, words in (("gone", left[a:b]), ("new", right[c:d])) if words]
    return parts


def _stage(record: HarvestRecord) -> dict[str, Any]:
    fields = {"stage", "model", "backend", "cache", "prompt_version", "request_hash", "error"}
    return record.model_dump(mode="json", include=fields) | record.usage.model_dump()
