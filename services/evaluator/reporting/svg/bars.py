"""Bars with intervals, one below the other, each with its numbers at the end of its line."""

from services.evaluator.reporting.charts import Bar, BarChart
from services.evaluator.reporting.svg.canvas import CHARACTER, SHAPES, WIDTH, Canvas, styles_of
from services.evaluator.reporting.svg.scale import Scale, scale

_ROW = 30.0
_NUMBERS = 148.0
_SHORT = 62.0
_TOP = 26.0


def draw(chart: BarChart) -> tuple[Canvas, float]:
    """The drawing and its height."""
    canvas, styles = Canvas(), styles_of([bar.group for bar in chart.bars])
    ranged = any(bar.high > bar.low for bar in chart.bars)
    left = min(330.0, CHARACTER * max(len(bar.label) for bar in chart.bars) + 16)
    axis = _axis(chart, left, WIDTH - (_NUMBERS if ranged else _SHORT))
    bottom = _TOP + _ROW * len(chart.bars)
    _frame(canvas, chart, axis, bottom)
    for i, bar in enumerate(chart.bars):
        _bar(canvas, chart, axis, bar, _TOP + _ROW * (i + 0.5), styles[bar.group])
    if chart.baseline is not None:
        canvas.line(axis.at(chart.baseline), _TOP - 6, axis.at(chart.baseline), bottom, "base")
        place = axis.at(chart.baseline)
        if _crowded(chart, axis):
            canvas.text(place + 6, 13, chart.baseline_label, "soft", "end")
        else:
            canvas.text(_inside(place, chart.baseline_label), 13, chart.baseline_label, "soft", "middle")
    canvas.text((axis.start + axis.end) / 2, bottom + 38, _unit(chart, ranged), "soft", "middle")
    lowest = canvas.legend(list(styles), list(styles.values()), bottom + 62) if len(styles) > 1 else bottom + 42
    return canvas, lowest + 8


def _axis(chart: BarChart, start: float, end: float) -> Scale:
    if chart.unit == "%":
        return scale(0, 100, start, end, 5)
    values = [value for bar in chart.bars for value in (bar.low, bar.high)] + list(chart.band or ()) + [chart.baseline or 0.0]
    return scale(min(values), max(values), start, end)


def _frame(canvas: Canvas, chart: BarChart, axis: Scale, bottom: float) -> None:
    if chart.band:
        low, high = axis.at(chart.band[0]), axis.at(chart.band[1])
        canvas.rect(low, _TOP - 6, high - low, bottom - _TOP + 6, "band")
        near = _crowded(chart, axis)
        canvas.text(low + 2 if near else (low + high) / 2, 13, chart.band_label, "goal", "start" if near else "middle")
    for tick in axis.ticks:
        canvas.line(axis.at(tick), _TOP - 6, axis.at(tick), bottom, "grid")
        canvas.text(axis.at(tick), bottom + 17, axis.label(tick, signed=chart.unit == "points"), "soft", "middle")


def _crowded(chart: BarChart, axis: Scale) -> bool:
    """Whether the names of baseline and band would meet if each stood above its own middle."""
    if chart.band is None or chart.baseline is None:
        return False
    return abs(axis.at(sum(chart.band) / 2) - axis.at(chart.baseline)) < CHARACTER * len(chart.band_label + chart.baseline_label) / 2 + 12


def _bar(canvas: Canvas, chart: BarChart, axis: Scale, bar: Bar, y: float, style: int) -> None:
    origin = axis.at(max(axis.low, min(0.0, axis.high)))
    x, low, high = axis.at(bar.value), axis.at(bar.low), axis.at(bar.high)
    canvas.text(axis.start - 10, y + 4.5, bar.label, "", "end")
    canvas.rect(min(origin, x), y - 8, abs(x - origin), 16, f"area c{style % SHAPES}")
    if bar.high > bar.low:
        canvas.line(low, y, high, y, f"whisker c{style % SHAPES}")
        for end in (low, high):
            canvas.line(end, y - 5, end, y + 5, f"whisker c{style % SHAPES}")
    canvas.mark(x, y, style, f"{bar.label}: {_number(chart, bar)}", filled=bar.strong)
    canvas.text(WIDTH, y + 4.5, _number(chart, bar), "number", "end")


def _number(chart: BarChart, bar: Bar) -> str:
    if chart.unit == "points":
        return f"{bar.value:+.1f} [{bar.low:+.1f}, {bar.high:+.1f}]"
    if bar.high > bar.low:
        return f"{bar.value:.1f} [{bar.low:.1f}, {bar.high:.1f}]"
    return f"{bar.value:,.1f}" if bar.value % 1 else f"{bar.value:,.0f}"


def _unit(chart: BarChart, ranged: bool) -> str:
    said = [chart.unit + (", whiskers: 95 % interval" if ranged else "")]
    if any(not bar.strong for bar in chart.bars) and ranged:
        said.append("open marks: no difference shown (Holm)")
    return "; ".join(said)


def _inside(x: float, words: str) -> float:
    """`x`, moved so that words around it stay on the canvas."""
    half = CHARACTER * len(words) / 2
    return min(max(x, half), WIDTH - half)
