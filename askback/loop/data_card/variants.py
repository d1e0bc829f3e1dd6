"""The sections of a data card on the variants of the tracks."""

import json
from collections.abc import Mapping
from typing import Any


def variants(data: Mapping[str, Any]) -> list[list[str]]:
    """One section for each variant: how it differs, where its questions went, what its tracks hold."""
    return [_variant(name, one) for name, one in data.get("variants", {}).items()]


def _variant(name: str, one: Mapping[str, Any]) -> list[str]:
    changes = ", ".join(f"`{field} = {json.dumps(value, ensure_ascii=False)}`" for field, value in one["changes"].items()) or "none"
    counts = one["accounts"]
    dropped = ", ".join(f"`{reason}` {number}" for reason, number in counts["dropped"].items()) or "none"
    steps = "; ".join(f"{step['filter']} {step['before']} → {step['after']}" for step in one["filters"]) or "none"
    limits = ", ".join(f"{track} {limit}" for track, limit in one["limits"].items()) or "none"
    table = ["| track | rows | questions | classes |", "|---|---|---|---|"]
    for track, facts in one["tracks"].items():
        table.append(f"| `{name}/{track}` | {facts['rows']} | {facts['questions']} | {_classes(facts['classes'])} |")
    told = [f"Differs from the tracks above in: {changes}.", f"Questions: {counts['kept']} kept; dropped: {dropped}."]
    told += [f"Filters: {steps}. Token limits: {limits}.", *further(one["further_replies"])]
    return [f"## Variant {name}", "", *told, "", *table]


def further(counts: Mapping[str, int]) -> list[str]:
    """What became of the further replies of the teacher, in one line; none where each question took one reply."""
    if not counts:
        return []
    left_out = ", ".join(f"`{reason}` {count}" for reason, count in counts.items() if reason not in ("offered", "used")) or "none"
    return [f"Further replies of the teacher: {counts['offered']} offered, {counts['used']} rows of `cot`; left out: {left_out}."]


def _classes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {number}" for label, number in counts.items()) or "–"
