"""Everything that the stage `tracks` makes of a harvest, and the files that it becomes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestRecord, Sample, Trace
from askback.loop.config import RunConfig, TracksConfig
from askback.loop.harvest import Row as HarvestRow
from askback.loop.harvest import rows_of, traces_of
from askback.loop.sample import share
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import TokenCounter
from askback.loop.tracks.filters import Selection, Step, Surroundings, select, select_pairs
from askback.loop.tracks.forms import Row, Thoughts, build, plain
from askback.loop.tracks.replies import further
from askback.tasks import Task, task_named

TRACKS = ("direct", "cot", "context", "dialogue", "preference")


@dataclass(frozen=True)
class Corpus:
    """The tracks of the run or of one variant, with what led to them."""

    traces: list[Trace]
    selection: Selection
    tracks: dict[str, list[Row]]
    plain: dict[str, list[dict[str, Any]]]
    """Of the run's own tracks alone."""
    steps: list[Step]
    """The filters of the questions, then those of the pairs."""
    accounts: dict[str, Any]
    surroundings: Surroundings
    further: dict[str, int]
    """What became of the further replies to the kept questions; empty where each takes one."""


def limits_of(config: RunConfig, variant: str = "") -> dict[str, int]:
    """Most tokens of a row by track: the variant's own limit, else the shortest recipe that trains on it; a track nobody trains on has none."""
    if most := config.tracks_of(variant).max_tokens:
        return dict.fromkeys(TRACKS, most)
    limits: dict[str, int] = {}
    for adapter in (one for one in config.adapters if one.tracks == variant):
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


def make(
    config: RunConfig,
    samples: Sequence[Sample],
    dev: Sequence[Sample],
    records: Iterable[HarvestRecord],
    counter: TokenCounter,
    variant: str = "",
    uncertainty: Mapping[str, float] | None = None,
) -> Corpus:
    """The tracks of the harvested `samples`, made as `variant` says; `dev` is held out of them.

    `uncertainty` says by id how uncertain the student was about a question, where it was asked.
    """
    wanted, task, rows = config.tracks_of(variant), task_named(config.task), rows_of(samples, records)
    traces, asked = traces_of(rows), config.harvest.max_questions
    around = Surroundings(dev=dev, max_questions=asked, limits=limits_of(config, variant), counter=counter, uncertainty=uncertainty or {})
    selection = select(wanted, task, traces, config.seed, around)
    others = further(wanted, task, selection.kept, {row.sample.id: row.further for row in rows}, config.seed, around)
    told = _told(wanted, task, selection.kept, config.seed)
    built = build(task, selection.kept, asked, wanted.cot, Thoughts(wanted.thought_sentences, others.replies, told), wanted.asker)
    built["preference"], pair_steps = select_pairs(wanted, task, selection.kept, built["preference"], config.seed)
    steps = [*selection.steps, *pair_steps]
    shown = {} if variant else plain(task, selection.kept, wanted.thought_sentences)
    return Corpus(traces, selection, built, shown, steps, account(rows, selection), around, others.counts)


def _told(config: TracksConfig, task: Task, kept: Sequence[Trace], seed: int) -> set[str] | None:
    """Ids of the questions whose thought is a row of its own; None for all."""
    if config.rationales == 1:
        return None
    return share(task, [trace.sample for trace in kept], config.rationales, seed) if kept and config.rationales else set()


def counts_of(corpus: Corpus, variants: Mapping[str, Corpus]) -> dict[str, object]:
    """Rows of each track and what became of the questions, for the manifest; the same of each variant under its name."""
    counts: dict[str, object] = {name: len(rows) for name, rows in corpus.tracks.items()} | {"questions": corpus.accounts}
    return counts | {"variants": {name: counts_of(one, {}) for name, one in variants.items()}} if variants else counts


def file_of(track: str, variant: str = "") -> str:
    """Where the rows of a track lie, relative to the run's folder; empty names the run's own tracks."""
    return f"tracks/{variant}/{track}.jsonl" if variant else f"tracks/{track}.jsonl"


def write(store: RunStore, corpus: Corpus, variant: str = "") -> dict[str, int]:
    """Write every JSONL file of `corpus`; returns their names, relative to the run's folder, with their numbers of lines."""
    records: Mapping[str, Sequence[BaseModel]] = {**corpus.tracks, "dropped": corpus.selection.dropped}
    files = {file_of(name, variant): store.write_records(file_of(name, variant), rows) for name, rows in records.items()}
    for name, rows in corpus.plain.items():
        store.write_text(f"tracks/plain/{name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        files[f"tracks/plain/{name}.jsonl"] = len(rows)
    return files


def refuse_empty(corpus: Corpus, variant: str = "") -> None:
    """Raise InvalidInput saying why when no question is left to train on."""
    if not corpus.selection.kept:
        reasons = ", ".join(f"{reason} {count}" for reason, count in corpus.accounts["dropped"].items())
        section = f"tracks.variants.{variant}" if variant else "tracks"
        raise InvalidInput(
            f"{section}: no question is left to train on ({reasons}); tracks/README.md has the counts, change `[{section}]` in a new run"
        )
