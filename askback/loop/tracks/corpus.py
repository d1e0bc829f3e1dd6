"""Everything that the stage `tracks` makes of a harvest, and the files that it becomes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestRecord, Sample, Trace
from askback.loop.config import RunConfig
from askback.loop.harvest import Row as HarvestRow
from askback.loop.harvest import rows_of, traces_of
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import TokenCounter
from askback.loop.tracks.filters import Selection, Step, Surroundings, select, select_pairs
from askback.loop.tracks.forms import Row, build, plain
from askback.tasks import task_named

TRACKS = ("direct", "cot", "context", "dialogue", "preference")


@dataclass(frozen=True)
class Corpus:
    """The tracks with what led to them."""

    traces: list[Trace]
    selection: Selection
    tracks: dict[str, list[Row]]
    plain: dict[str, list[dict[str, Any]]]
    steps: list[Step]
    """The filters of the questions, then those of the pairs."""
    accounts: dict[str, Any]
    surroundings: Surroundings


def limits_of(config: RunConfig) -> dict[str, int]:
    """Most tokens of a row by track: the run's own limit, else the shortest recipe that trains on it; a track nobody trains on has none."""
    if config.tracks.max_tokens:
        return dict.fromkeys(TRACKS, config.tracks.max_tokens)
    limits: dict[str, int] = {}
    for adapter in config.adapters:
        length = config.recipe_of(adapter).max_length
        limits[adapter.track] = min(length, limits.get(adapter.track, length))
    return limits


def account(rows: Sequence[HarvestRow], selection: Selection) -> dict[str, Any]:
    """sampled = kept + dropped (by reason) + failed + pending, as counts of questions."""
    return {
        "sampled": len(rows),
        "kept": len(selection.kept),
        "dropped": dict(Counter(one.reason for one in selection.dropped)),
        "failed": sum(row.failed for row in rows),
        "pending": sum(not row.finished for row in rows),
    }


def make(config: RunConfig, samples: Sequence[Sample], dev: Sequence[Sample], records: Iterable[HarvestRecord], counter: TokenCounter) -> Corpus:
    """The tracks of the harvested `samples`; `dev` is held out of them."""
    task, rows = task_named(config.task), rows_of(samples, records)
    traces, asked = traces_of(rows), config.harvest.max_questions
    around = Surroundings(dev=dev, max_questions=asked, limits=limits_of(config), counter=counter)
    selection = select(config.tracks, task, traces, config.seed, around)
    built = build(task, selection.kept, asked, config.tracks.cot)
    built["preference"], pair_steps = select_pairs(config.tracks, task, selection.kept, built["preference"], config.seed)
    steps = [*selection.steps, *pair_steps]
    return Corpus(traces, selection, built, plain(task, selection.kept), steps, account(rows, selection), around)


def write(store: RunStore, corpus: Corpus) -> dict[str, int]:
    """Write every JSONL file of `corpus`; returns their names, relative to the run's folder, with their numbers of lines."""
    records: Mapping[str, Sequence[BaseModel]] = {**corpus.tracks, "dropped": corpus.selection.dropped}
    files = {f"tracks/{name}.jsonl": store.write_records(f"tracks/{name}.jsonl", rows) for name, rows in records.items()}
    for name, rows in corpus.plain.items():
        store.write_text(f"tracks/plain/{name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        files[f"tracks/plain/{name}.jsonl"] = len(rows)
    return files


def refuse_empty(corpus: Corpus) -> None:
    """Raise InvalidInput saying why when no question is left to train on."""
    if not corpus.selection.kept:
        reasons = ", ".join(f"{reason} {count}" for reason, count in corpus.accounts["dropped"].items())
        raise InvalidInput(f"tracks: no question is left to train on ({reasons}); tracks/README.md has the counts, change `[tracks]` in a new run")
