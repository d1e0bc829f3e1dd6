"""What was trained on and tested on: sizes, filters, balance, contamination."""

from collections.abc import Mapping
from typing import Any

from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Bullets, Figure, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.report import harvest_lines
from services.evaluator.reporting.wording import counted

_CARD = "tracks/data_card.json"


def data_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section:
    """Sizes, the harvest, each filter with its counts, and the tracks with their classes."""
    card = facts.data_card
    blocks: list[Block] = [Paragraph(_origin(facts))]
    if facts.harvest:
        blocks.append(Bullets(harvest_lines(facts.harvest)))
    if "harvest" in figures:
        blocks.append(Figure(figures["harvest"]))
    if fates := _fates(card.get("accounts")):
        blocks.append(Table("What became of the sampled questions", ["fate", "questions"], fates, f"{_CARD}: accounts"))
    if filters := [_filter(entry) for entry in _objects(card.get("filters"))]:
        header = ["filter", "rows before", "rows after", "classes before", "classes after"]
        blocks.append(Table("Filters, in order, with the balance of classes before and after", header, filters, f"{_CARD}: filters"))
    if tracks := [_track(name, track) for name, track in _named(card.get("tracks"))]:
        blocks.append(Table("Tracks", ["track", "rows", "questions", "classes"], tracks, f"{_CARD}: tracks"))
    if prompts := card.get("prompts"):
        rows = [[f"`{role}`", f"`{version}`"] for role, version in prompts.items()]
        blocks.append(Table("Prompts by role, with the hash of their text", ["role", "version"], rows, f"{_CARD}: prompts", folded=True))
    return Section("data", "Data", blocks)


def contamination_section(facts: RunFacts) -> Section | None:
    """Words that test questions share with other texts; None where nothing was compared."""
    found = facts.scores.overlaps
    if not found:
        return None
    n = facts.scores.n
    rows = [[o.against, f"{o.rows:,}", str(o.ngram), str(o.contaminated), f"{100 * o.contaminated / n:.1f} %"] for o in found]
    header = ["against", "rows", "words of a run", "test questions that share one", f"share of n = {n}"]
    blocks: list[Block] = [
        Paragraph(f"How many of the {counted(n, 'test question')} share a run of words with what was trained on or prompted with."),
        Table("Shared runs of words", header, rows, "scores.json: overlaps[]"),
    ]
    shared = [[o.against, f"`{test}`", f"`{other}`", run] for o in found for test, other, run in o.examples]
    if shared:
        blocks.append(Table("Examples", ["against", "test id", "other id", "shared run"], shared, "scores.json: overlaps[].examples", folded=True))
    return Section("contamination", "Contamination", blocks)


def _origin(facts: RunFacts) -> str:
    card, config = facts.data_card, facts.config
    sizes: dict[str, Any] = next((manifest.get("counts", manifest) for manifest in facts.manifests if manifest["stage"] == "sample"), {})
    told = [f"`{name}` {count:,}" for name, count in sizes.items() if isinstance(count, int) and not isinstance(count, bool)]
    parts = [f"Task `{facts.scores.task}`, {counted(facts.scores.n, 'test question')} (`samples/dev.jsonl`)."]
    if told:
        parts.append(f"Sampled questions: {', '.join(told)} (`manifests/sample.json`).")
    if source := card.get("source") or config.get("data", {}).get("path"):
        parts.append(f"Source: `{source}`.")
    if (licence := card.get("licence")) and isinstance(licence, dict):
        parts.append(f"Licence: {licence.get('dataset', '–')}; {licence.get('answers', '–')}.")
    if (seed := card.get("seed", config.get("seed"))) is not None:
        parts.append(f"Sampling seed {seed}.")
    if teacher := card.get("teacher"):
        parts.append(f"Teacher's answers in the corpora: {', '.join(f'{name} {count}' for name, count in _plain(teacher))} (`{_CARD}: teacher`).")
    return " ".join(parts)


def _filter(entry: Mapping[str, Any]) -> list[str]:
    before, after = entry.get("before", "–"), entry.get("after", "–")
    return [str(entry.get("filter", "–")), str(before), str(after), _classes(entry.get("classes_before")), _classes(entry.get("classes_after"))]


def _classes(value: object) -> str:
    """`no 28 (58 %), yes 20 (42 %)`."""
    counts = [(name, count) for name, count in _plain(value) if isinstance(count, int)]
    total = sum(count for _, count in counts)
    return ", ".join(f"{name} {count} ({100 * count / total:.0f} %)" for name, count in counts) if total else "–"


def _track(name: str, track: Mapping[str, Any]) -> list[str]:
    return [f"`{name}`", _count(track, "rows"), _count(track, "questions"), _classes(track.get("classes"))]


def _count(track: Mapping[str, Any], name: str) -> str:
    count = track.get(name)
    return f"{count:,}" if isinstance(count, int) else "–"


def _fates(accounts: object) -> list[list[str]]:
    """Each fate with its questions; those of `dropped` by reason."""
    rows = []
    for name, value in _plain(accounts):
        counts = [(f"{name}: {reason.replace('_', ' ')}", count) for reason, count in _plain(value)] or [(name, value)]
        rows += [[fate, f"{count:,}"] for fate, count in counts if isinstance(count, int)]
    return rows


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _named(value: object) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, entry) for name, entry in value.items() if isinstance(entry, dict)] if isinstance(value, dict) else []


def _plain(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []
