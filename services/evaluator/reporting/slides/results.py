"""What was measured: the table, and the charts that say the same at a glance."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from askback.contracts.measures import ConditionScore, PooledScore
from services.evaluator.reporting.charts import BarChart, MatrixChart, PointChart
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import BASE, headline, metric
from services.evaluator.reporting.slides.building import counted_title, note_below, note_height, said, share, table_slides
from services.evaluator.reporting.slides.measure import short
from services.evaluator.reporting.slides.page import ROOM, Box, Part, Plot, Slide
from services.evaluator.reporting.slides.tables import grids
from services.evaluator.reporting.wording import METRIC_NAMES, yes_share
from services.evaluator.stats.intervals import wilson

Item = TypeVar("Item")

_BARS, _POINTS = 14, 12
_NAMED = "A condition's name is adapter.mode, with the resolver behind it where the student is answered."


def result_slides(facts: RunFacts) -> list[Slide]:
    """Every condition with its interval, twelve or so to a slide."""
    scores, top = facts.scores, headline(facts.scores)
    first = METRIC_NAMES[scores.conditions[0].metrics[0].name]
    told_apart = (scores.conditions[0].metrics[0].name, "brier")
    others = [name for name in dict.fromkeys(m.name for score in scores.conditions for m in score.metrics) if name not in told_apart][:3]
    with_yes = any(score.yes_rate is not None for score in scores.conditions)
    header = ["condition", "n", first, *(METRIC_NAMES.get(name, name.replace("_", " ")) for name in others)]
    header += [*(["share of yes"] if with_yes else []), "unparsable", "failed"]
    rows = [_row(score, others, with_yes=with_yes) for score in scores.conditions]
    low, high = wilson(scores.majority, scores.n)
    floor = f"{100 * scores.majority:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    note = f"In %, with 95 % intervals. {_NAMED} Always giving the commonest gold answer: {floor}."
    notes = "scores.json: conditions[]. Wilson's interval for right and wrong, the percentile bootstrap's for other means. Gold: samples/dev.jsonl."
    title = f"Results of all conditions: {first}"
    if top.best and top.base:
        best, base = top.best.metrics[0].value, top.base.metrics[0].value
        title = f"{short(top.best.condition.name, 34)} is best: {100 * best:.1f} %, {BASE} {100 * base:.1f} %"
        title = title if best > base else f"No condition is above the {100 * base:.1f} % of {BASE}"
    return table_slides(title, header, rows, note, notes)


def pooled_slides(pooled: Sequence[PooledScore]) -> list[Slide]:
    """Seeds pooled, where a family of adapters was trained more than once."""
    if not any(pool.seeds > 1 for pool in pooled):
        return []
    rows = [[p.name, str(p.seeds), str(p.metric.n), share(p.metric), f"{100 * p.metric.stderr:.1f}", f"{100 * p.seed_stderr:.1f}"] for p in pooled]
    header = ["condition, seeds pooled", "seeds", "n", "mean in % [95 %]", "± s.e.", "between seeds"]
    note = "The standard error holds both the choice of questions and that of seeds; the last column is the standard deviation of the seeds' means."
    best = max(pooled, key=lambda pool: pool.metric.value)
    title = f"Over seeds, {short(best.name, 40)} has the highest mean: {100 * best.metric.value:.1f} %"
    return table_slides(title, header, rows, note, "scores.json: pooled[].")


def bar_slides(chart: BarChart, title: str, note: str) -> list[Slide]:
    """The bars, as many to a slide as can be read."""
    box = replace(ROOM, height=ROOM.height - note_height(note))
    pages = _split(chart.bars, _BARS)
    return [
        Slide(counted_title(title, i, len(pages)), [Plot(box, replace(chart, bars=held)), *note_below(note, box.top + box.height)], _told(chart))
        for i, held in enumerate(pages)
    ]


def accuracy_slides(chart: BarChart) -> list[Slide]:
    floor = chart.baseline or 0.0
    above = sum(bar.low > floor for bar in chart.bars)
    title = f"{said(above)} of {len(chart.bars)} conditions {'lies' if above < 2 else 'lie'} wholly above the majority's {floor:.1f} %"
    return bar_slides(chart, title, f"Bars: 95 % intervals. Colours: modes. {_NAMED}")


def pooled_bar_slides(chart: BarChart) -> list[Slide]:
    if len(chart.bars) < 2:  # the table says as much
        return []
    best = max(chart.bars, key=lambda bar: bar.value)
    note = "Bars: 95 % intervals that hold both the choice of questions and that of seeds."
    return bar_slides(chart, f"Seeds pooled, the highest mean is {best.value:.1f} %", note)


def difference_slides(chart: BarChart) -> list[Slide]:
    strong = sum(bar.strong for bar in chart.bars)
    title = f"{said(strong)} of {len(chart.bars)} differences to {BASE} {'is' if strong < 2 else 'are'} shown"
    band = f" The plan's {chart.band_label} points." if chart.band_label else ""
    note = f"In points, with each difference behind its name. Bars: 95 % paired intervals; pale: not shown.{band}"
    return bar_slides(chart, title, note)


def cost_chart_slides(chart: PointChart) -> list[Slide]:
    """The best, the dearest and base direct as numbered points, beside the key to their numbers."""
    ranked = sorted(chart.points, key=lambda point: -point.y)
    dearest = max(chart.points, key=lambda p: p.x)
    title = "No condition is more accurate than the dearest" if dearest.y >= ranked[0].y else "The dearest condition is not the most accurate"
    shown = [point for i, point in enumerate(ranked) if i < _POINTS or point is dearest or point.label == BASE]
    rows = [[str(i), short(p.label, 34), f"{p.x:,.3g}" if p.x < 100 else f"{p.x:,.0f}", f"{p.y:.1f}"] for i, p in enumerate(shown, 1)]
    beside = Box(ROOM.left + 6.9, ROOM.top + 0.1, ROOM.width - 6.9, ROOM.height - 0.1)
    key = grids(["", "condition", chart.x_label, "%"], rows, "Key to the numbered points", box=beside)[0]
    numbered = replace(chart, points=[replace(point, label=str(i)) for i, point in enumerate(shown, 1)])
    left_out = f" Shown: {len(shown)} of {len(ranked)} conditions." if len(shown) < len(ranked) else ""
    return [Slide(title, [Plot(Box(ROOM.left, ROOM.top, 6.6, ROOM.height), numbered), key], _told(chart) + left_out)]


def calibration_slides(chart: PointChart, facts: RunFacts) -> list[Slide]:
    """The curve beside Brier score and calibration error."""
    told = [(score.condition.name, score.calibration) for score in facts.scores.conditions if score.calibration]
    rows = [[name, f"{c.brier.value:.3f} [{c.brier.low:.3f}, {c.brier.high:.3f}]", f"{c.expected_error:.3f}"] for name, c in told]
    drawn = {point.group for point in chart.points}
    rows = [row for row in rows if row[0] in drawn]
    title = "How far P(yes) can be trusted"
    if held := sorted({round(100 * c.expected_error) for name, c in told if name in drawn}):
        title = f"P(yes) is {held[0]}{f' to {held[-1]}' if len(held) > 1 else ''} points off on average"
    shown = replace(chart, points=[replace(point, group=short(point.group, 40)) for point in chart.points])
    parts: list[Part] = [Plot(Box(ROOM.left, ROOM.top, 6.6, ROOM.height), shown)]
    beside = Box(ROOM.left + 6.9, ROOM.top + 0.1, ROOM.width - 6.9, ROOM.height - 0.8)
    if rows:
        parts.append(grids(["condition", "Brier [95 %]", "calibration error"], rows, "Brier score and expected calibration error", box=beside)[0])
    return [Slide(title, parts, f"{_told(chart)} Brier score and expected calibration error: scores.json, conditions[].calibration.")]


def agreement_slides(chart: MatrixChart) -> list[Slide]:
    """A heat map as a table: the columns are numbered as the rows are."""
    header = ["", *(str(i) for i in range(1, len(chart.labels) + 1))]
    rows = [[f"{i}  {label}", *(f"{100 * v:.0f}" for v in chart.values[i - 1])] for i, label in enumerate(chart.labels, 1)]
    shades = {(r, c + 1): value for r, line in enumerate(chart.values) for c, value in enumerate(line)}
    pairs = [chart.values[i][j] for i in range(1, len(chart.labels)) for j in range(1, i)]
    title = f"Two conditions say the same on {100 * min(pairs):.0f} to {100 * max(pairs):.0f} % of the questions" if pairs else chart.title
    note = "Share of questions with the same answer, in %. An unparsable or failed answer agrees with nothing."
    return table_slides(title, header, rows, note, _told(chart), shades)


def _row(score: ConditionScore, others: Sequence[str], *, with_yes: bool) -> list[str]:
    found = score.metrics[0]
    named = [score.condition.name, str(found.n), share(found), *(share(metric(score, name)) for name in others)]
    return [*named, *([yes_share(score).replace(" %", "")] if with_yes else []), str(score.unparsable), str(score.failed)]


def _split(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """Pages of nearly the same length."""
    count = -(-len(items) // most)
    size = -(-len(items) // count) if count else 1
    return [items[i : i + size] for i in range(0, len(items), size)]


def _told(chart: BarChart | PointChart | MatrixChart) -> str:
    return f"{chart.alt} Source: {chart.source}."
