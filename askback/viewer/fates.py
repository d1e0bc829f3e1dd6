"""What became of a row: kept, dropped and why, failed and where, or pending and for what."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestRecord, HarvestStage
from askback.loop.store import RunStore
from askback.viewer.files import Unchanged, objects

AGREEMENT = "teacher agrees with gold"
"""The filter of the data card that can be judged again from the trace alone."""

STEPS = (HarvestStage.DRAFT, HarvestStage.TEACHER, HarvestStage.REWRITE)
"""The stages that every row goes through, in order; a second try is made of some."""


@dataclass(frozen=True)
class Fate:
    """`kind` is `kept`, `dropped`, `failed` or `pending`; `reason` is the filter, the stage or the step that is waited for."""

    kind: str
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


@dataclass(frozen=True)
class Selection:
    """What the stage `tracks` chose."""

    complete: bool
    """Whether the stage is done; before that, a row in no track may still come into one."""
    tracks: Mapping[str, list[str]]
    """Names of the tracks by sample id."""
    dropped: Mapping[str, str]
    """Recorded reasons by sample id."""
    filters: list[str]
    """Names of the filters that rows went through, from the data card."""


def selection_of(store: RunStore, unchanged: Unchanged) -> Selection:
    """The selection as far as it lies in the run's folder; raises InvalidInput for a file that cannot be read."""
    tracks: dict[str, list[str]] = defaultdict(list)
    for path in sorted(store.path("tracks").glob("*.jsonl")):
        if path.name != "dropped.jsonl":
            for sample_id in unchanged.get(path, _sample_ids):
                tracks[sample_id].append(path.stem)
    dropped = unchanged.get(store.path("tracks", "dropped.jsonl"), _reasons)
    return Selection(store.manifest("tracks") is not None, tracks, dropped, unchanged.get(store.path("tracks", "data_card.json"), _filters))


def fate_of(sample_id: str, latest: Mapping[HarvestStage, HarvestRecord], teacher_right: bool | None, selection: Selection) -> Fate:
    """The row's fate from its last record of each stage. An error counts before all else, a track before a recorded reason."""
    for stage, record in latest.items():
        if record.error and stage in STEPS:
            return Fate("failed", stage)
    if sample_id in selection.tracks:
        return Fate("kept")
    if sample_id in selection.dropped:
        return Fate("dropped", selection.dropped[sample_id])
    for step in STEPS:
        if step not in latest:
            return Fate("pending", step)
    if not selection.complete:
        return Fate("pending", "tracks")
    return Fate("dropped", _derived(teacher_right, selection.filters))


def _derived(teacher_right: bool | None, filters: list[str]) -> str:
    """The reason of a run that records none per row: its filters say which one it can have been."""
    if AGREEMENT in filters and not teacher_right:
        return "teacher_disagrees"
    others = [name for name in filters if name != AGREEMENT]
    return " or ".join(others) if others else "reason not recorded"


def _sample_ids(path: Path) -> list[str]:
    return list(dict.fromkeys(row["sample_id"] for row in objects(path) if "sample_id" in row))


def _reasons(path: Path) -> dict[str, str]:
    return {str(row.get("sample_id", "")): str(row.get("reason", "")) for row in objects(path)}


def _filters(path: Path) -> list[str]:
    """Names of the filters on rows; those on pairs leave the row in the other tracks."""
    if not path.exists():
        return []
    try:
        steps = json.loads(path.read_text(encoding="utf-8"))["filters"]
        return [step["filter"] for step in steps if not step["filter"].startswith("pairs:")]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path}: not a data card: {error!r}; `askback tracks` writes it anew") from error
