"""Points and lines over two axes of numbers."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pptx.chart.data import XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_MARKER_STYLE
from pptx.enum.dml import MSO_LINE
from pptx.util import Pt

from services.evaluator.reporting.charts import LineChart, Point, PointChart
from services.evaluator.reporting.slides.page import Box
from services.evaluator.reporting.slides.pptx_axes import (
    ACCENT_COLOURS,
    accent_name,
    chart_frame,
    error_bars,
    legend,
    paint,
    take_series,
    tick_step,
    titled_axes,
)
from services.evaluator.reporting.slides.pptx_parts import clean
from services.evaluator.reporting.slides.theme import QUIET

_MARKERS = (XL_MARKER_STYLE.CIRCLE, XL_MARKER_STYLE.SQUARE, XL_MARKER_STYLE.DIAMOND, XL_MARKER_STYLE.TRIANGLE)


def points(slide: Any, box: Box, chart: PointChart) -> Any:
    counts = Counter(point.group for point in chart.points)
    groups = sorted(counts, key=lambda group: -counts[group])  # LibreOffice loses a series that stands before a longer one
    data = XyChartData(number_format="General")
    for group in groups:
        _xy(data, group, [(p.x, p.y) for p in chart.points if p.group == group])
    top = 1.0
    if chart.diagonal:
        _xy(data, "perfectly calibrated", [(0, 0), (top, top)])
    for group in groups:
        held = [p for p in chart.points if p.group == group]
        _xy(data, f"{group}: interval below", [(p.x, p.y - p.low) for p in held])
        _xy(data, f"{group}: interval above", [(p.x, p.high - p.y) for p in held])
    frame = chart_frame(slide, box, XL_CHART_TYPE.XY_SCATTER_LINES if chart.diagonal else XL_CHART_TYPE.XY_SCATTER, data)
    taken = take_series(frame.chart, "yVal", 2 * len(groups))
    series = list(frame.chart.plots[0].series)
    for i, group in enumerate(groups):
        held = [p for p in chart.points if p.group == group]
        _mark(series[i], group, groups, joined=chart.diagonal)
        error_bars(series[i], "xVal", taken[2 * i], taken[2 * i + 1], "y", f'<a:schemeClr val="{accent_name(group, groups)}"/>')
        if not chart.diagonal:
            _number(series[i], held, chart.points)
    if chart.diagonal:
        _dash(series[len(groups)])
    _xy_axes(frame.chart, chart, top)
    return frame


def lines(slide: Any, box: Box, chart: LineChart) -> Any:
    data = XyChartData(number_format="General")
    ordered = sorted(chart.lines, key=lambda line: -len(line.x))  # LibreOffice loses a series that stands before a longer one
    for line in ordered:
        _xy(data, line.label, list(zip(line.x, line.y, strict=True)))
    frame = chart_frame(slide, box, XL_CHART_TYPE.XY_SCATTER_LINES, data)
    names = [line.label for line in ordered]
    for series, name in zip(frame.chart.plots[0].series, names, strict=True):
        _mark(series, name, names, joined=True)
        series.marker.size = 5
    frame.chart.value_axis.minimum_scale = 0
    titled_axes(frame.chart, chart.x_label, chart.y_label)
    legend(frame.chart, True)
    return frame


def _xy(data: Any, name: str, pairs: Sequence[tuple[float, float]]) -> None:
    series = data.add_series(clean(name))
    for x, y in pairs:
        series.add_data_point(x, y)


def _mark(series: Any, group: str, groups: Sequence[str], *, joined: bool) -> None:
    at = groups.index(group)
    series.marker.style, series.marker.size = _MARKERS[at % len(_MARKERS)], 9
    series.marker.format.fill.solid()
    paint(series.marker.format.fill.fore_color, group, groups)
    series.marker.format.line.fill.background()
    series.smooth = False
    if joined:
        series.format.line.width = Pt(2)
        paint(series.format.line.color, group, groups)
        if at >= len(ACCENT_COLOURS):
            series.format.line.dash_style = MSO_LINE.DASH
    else:
        series.format.line.fill.background()


def _dash(series: Any) -> None:
    series.marker.style = XL_MARKER_STYLE.NONE
    series.smooth = False
    series.format.line.width, series.format.line.dash_style = Pt(1.5), MSO_LINE.DASH
    series.format.line.color.rgb = RGBColor.from_string(QUIET)


def _number(series: Any, held: Sequence[Point], everyone: Sequence[Point]) -> None:
    """Label each point with its own label, on the side that its neighbours leave free."""
    sides = (XL_LABEL_POSITION.RIGHT, XL_LABEL_POSITION.LEFT, XL_LABEL_POSITION.ABOVE, XL_LABEL_POSITION.BELOW)
    across = max(p.x for p in everyone) - min(p.x for p in everyone) or 1.0
    for i, point in enumerate(held):
        earlier = everyone[: list(everyone).index(point)]
        near = sum(abs(p.x - point.x) < across / 25 and abs(p.y - point.y) < 4 for p in earlier)
        label = series.points[i].data_label
        label.text_frame.text = clean(point.label)
        run = label.text_frame.paragraphs[0].runs[0]
        run.font.size, run.font.bold = Pt(11), True
        label.position = sides[near % len(sides)]


def _xy_axes(chart: Any, shown: PointChart, top: float) -> None:
    x, y = chart.category_axis, chart.value_axis
    if shown.diagonal:
        for axis in (x, y):
            axis.minimum_scale, axis.maximum_scale, axis.major_unit = 0, top, 0.2
    else:
        widest = max(p.x for p in shown.points)
        step = tick_step(widest)
        x.minimum_scale, x.maximum_scale, x.major_unit = 0, step * math.ceil(1.05 * widest / step), step
        y.minimum_scale, y.maximum_scale, y.major_unit = 0, 100, 20
    titled_axes(chart, shown.x_label, shown.y_label)
    legend(chart, True)
