"""What the run was made of: data and balance, harvest, cost, training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.evaluator.reporting.charts import Bar, BarChart, LineChart
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import HarvestFindings
from services.evaluator.reporting.slides.building import bullets, counted_title, note_below, said, table_slides
from services.evaluator.reporting.slides.measure import short
from services.evaluator.reporting.slides.page import ROOM, Box, Part, Plot, Slide
from services.evaluator.reporting.slides.tables import grids
from services.evaluator.reporting.wording import percent

_LINES = 5
_HALF = 5.9


def data_slides(facts: RunFacts) -> list[Slide]:
    """Filters with their class counts, beside the rows of each track by class."""
    filters = [found for found in facts.data_card.get("filters", []) if isinstance(found, dict)]
    rows = [
        [str(f.get("filter", "")), str(f.get("before", "–")), str(f.get("after", "–")), _classes(f, "before"), _classes(f, "after")] for f in filters
    ]
    header = ["filter", "before", "after", "classes before", "classes after"]
    if not any(row[3] or row[4] for row in rows):
        header, rows = header[:3], [row[:3] for row in rows]
    balance = _balance_chart(facts.data_card)
    notes = "Rows after each filter, in the order in which they were applied, and rows of each track: tracks/data_card.json, filters[] and tracks."
    if not rows:
        return [Slide("What the tracks hold, by class", [Plot(ROOM, balance)], notes)] if balance else []
    note = "Classes are balanced again after a filter that favours one. The rows of a dialogue are the student's turns in it."
    box = Box(ROOM.left, ROOM.top + 0.1, 7.2, ROOM.height - 0.7)
    grid, *more = grids(header, rows, "Rows and classes before and after each filter", box=box)
    if more or not balance:
        return table_slides(_data_title(filters), header, rows, note, notes)
    beside = Plot(Box(ROOM.left + 7.5, ROOM.top, ROOM.width - 7.5, ROOM.height), balance)
    return [Slide(_data_title(filters), [grid, beside, *note_below(note, grid.box.top + grid.box.height, box.width)], notes)]


def harvest_slides(found: HarvestFindings | None, chart: BarChart | None) -> list[Slide]:
    """What each stage answered and failed, and whether the teacher was right."""
    if not found:
        return []
    title = f"{found.complete} of {found.rows} rows came through every stage of the harvest"
    if found.agreement:
        title = f"The teacher agrees with gold on {100 * found.agreement.value:.1f} % of {found.agreement.n} answered rows"
    lines = [f"{found.complete} of {found.rows} rows came through every stage"]
    lines += [f"{short(kind, 40)} at {stage}: {count}" for stage, kind, count in found.errors[:6]]
    lines += ["Answers came from " + ", ".join(f"{short(name, 30)} ({count})" for name, count in found.backends[:6])] if found.backends else []
    lines += [f"The teacher's verdict equals gold on {percent(found.agreement)}, n = {found.agreement.n}"] if found.agreement else []
    lines.append(f"Cost: {found.cost_usd:.4f} USD for {found.tokens:,} tokens; recorded answers cost nothing")
    parts: list[Part] = [bullets(lines, Box(ROOM.left, ROOM.top, _HALF if chart else ROOM.width, ROOM.height))]
    if chart:
        parts.append(Plot(Box(ROOM.left + _HALF + 0.3, ROOM.top, ROOM.width - _HALF - 0.3, ROOM.height), chart))
    notes = "Counts over the last record of each row and stage, cost over every record: harvest.jsonl. Gold: samples/*.jsonl."
    return [Slide(title, parts, notes)]


def cost_slides(facts: RunFacts) -> list[Slide]:
    """Tokens, dollars and seconds of a question under each condition."""
    priced = [(score.condition.name, score.cost) for score in facts.scores.conditions if score.cost]
    if not priced:
        return []
    rows, paid = [], any(cost.usd.value > 0 for _, cost in priced)
    for name, cost in priced:
        tokens = [f"{m.value:,.0f} [{m.low:,.0f}, {m.high:,.0f}]" for m in (cost.prompt_tokens, cost.completion_tokens)]
        usd = [f"{1000 * cost.usd.value:.3f} [{1000 * cost.usd.low:.3f}, {1000 * cost.usd.high:.3f}]"] if paid else []
        rows.append([name, *tokens, *usd, f"{cost.latency_p50_s:.2f} s", f"{cost.latency_p95_s:.2f} s"])
    totals = {name: cost.prompt_tokens.value + cost.completion_tokens.value for name, cost in priced}
    least, most = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
    title = f"A question takes {totals[least]:,.0f} tokens in {short(least, 34)} and {totals[most]:,.0f} in {short(most, 34)}"
    header = [
        "condition",
        "prompt tokens [95 %]",
        "completion tokens [95 %]",
        *(["USD per 1,000 [95 %]"] if paid else []),
        "median",
        "95th percentile",
    ]
    trained = sum(float(training.get("seconds", 0)) for training in facts.trainings.values())
    note = "Means over the test questions, the whole exchange included; local and recorded answers cost nothing"
    note += "." if paid else ", and no dollars were paid."
    note += f" Training took {trained / 60:,.1f} minutes in all." if trained else ""
    notes = "scores.json: conditions[].cost. Seconds of training: adapters/<name>/training.json, seconds."
    return table_slides(title if least != most else "What a question costs", header, rows, note, notes)


def training_slides(facts: RunFacts, chart: LineChart | None) -> list[Slide]:
    """Loss curves beside their first and last values."""
    if not chart:
        return []
    lines = list(chart.lines)
    falling = sum(line.y[-1] < line.y[0] for line in lines)
    title = f"Training loss falls in {said(falling).lower()} of {len(lines)} trainings"
    pages = [lines[i : i + _LINES] for i in range(0, len(lines), _LINES)]
    made = []
    for i, own in enumerate(pages):
        held = [replace(line, label=short(line.label, 28)) for line in own]
        plot = Plot(Box(ROOM.left, ROOM.top, 6.6, ROOM.height), replace(chart, lines=held))
        rows = [[line.label, _rows(facts.trainings, line.label), f"{line.x[-1]:.0f}", f"{line.y[0]:.2f}", f"{line.y[-1]:.2f}"] for line in own]
        rows = [[short(row[0], 28), *row[1:]] for row in rows]
        beside = Box(ROOM.left + 6.9, ROOM.top + 0.1, ROOM.width - 6.9, ROOM.height - 0.6)
        grid = grids(["adapter", "rows", "steps", "first", "last"], rows, "Rows, steps, first and last loss of each training", box=beside)[0]
        made.append(Slide(counted_title(title, i, len(pages)), [plot, grid], f"{chart.alt} Source: {chart.source}."))
    return made


def _rows(trainings: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return str(trainings.get(name, {}).get("rows", "–"))


def _classes(found: Mapping[str, Any], when: str) -> str:
    classes = found.get(f"classes_{when}", {})
    return ", ".join(f"{name} {count}" for name, count in classes.items()) if isinstance(classes, dict) else "–"


def _data_title(filters: Sequence[Mapping[str, Any]]) -> str:
    """Filters of preference pairs come after, and on top of, those of all tracks."""
    common = [found for found in filters if not str(found.get("filter", "")).startswith("pairs")] or list(filters)
    first, last = common[0], common[-1]
    classes = _classes(last, "after")
    return f"Filters keep {last.get('after')} of {first.get('before')} harvested rows" + (f": {classes}" if classes and len(classes) < 40 else "")


def _balance_chart(card: Mapping[str, Any]) -> BarChart | None:
    tracks = {name: track for name, track in card.get("tracks", {}).items() if isinstance(track, dict)}
    bars = [
        Bar(f"{name}: {label}", float(count), float(count), float(count), str(label))
        for name, track in tracks.items()
        for label, count in track.get("classes", {}).items()
    ]
    if not bars:  # an open task has no classes
        counts = {name: float(track["rows"]) for name, track in tracks.items() if "rows" in track}
        bars = [Bar(name, count, count, count, "rows") for name, count in counts.items()]
    if not bars or len({bar.group for bar in bars}) > 6 or len(bars) > 20:
        return None
    told = "; ".join(f"{name} {track.get('rows')} rows" for name, track in tracks.items())
    source = "tracks/data_card.json: tracks"
    return BarChart(name="balance", title="Rows of each track by class", alt=f"{told}.", source=source, unit="rows", bars=bars)
