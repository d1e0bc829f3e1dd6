"""Horizontal bars with intervals: names have their room, however long."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pptx.chart.data import CategoryChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_TICK_LABEL_POSITION
from pptx.enum.dml import MSO_THEME_COLOR
from pptx.oxml import parse_xml
from pptx.util import Pt

from services.evaluator.reporting.charts import Bar, BarChart
from services.evaluator.reporting.slides.measure import text_width
from services.evaluator.reporting.slides.page import Box
from services.evaluator.reporting.slides.pptx_axes import NAMESPACES, SIZE, chart_frame, error_bars, legend, paint, take_series, tick_step, value_axis
from services.evaluator.reporting.slides.pptx_parts import clean
from services.evaluator.reporting.slides.theme import QUIET

_PALE = 0.7  # how far towards white the ground of a difference that is not shown


def bars(slide: Any, box: Box, chart: BarChart) -> Any:
    """Bars of one group are one series; the baseline, where there is one, is the last bar."""
    held, signed = list(chart.bars), any(bar.value < 0 for bar in chart.bars) or chart.band is not None
    if chart.baseline and chart.baseline_label:
        held.append(Bar(chart.baseline_label, chart.baseline, chart.baseline, chart.baseline, "baseline"))
    if signed:  # short bars have no room for a number inside
        held = [replace(bar, label=f"{bar.label}  {bar.value:+.1f}") for bar in held]
    held = [replace(bar, value=float(f"{bar.value:.1f}")) for bar in held]  # as the tables say it: programs round a half in different ways
    groups = list(dict.fromkeys(bar.group for bar in held))
    spread = any(bar.low != bar.high for bar in held)
    frame = chart_frame(slide, box, XL_CHART_TYPE.BAR_CLUSTERED, _data(held, groups, "0.0" if spread else "0"))
    below, above = take_series(frame.chart, "val")
    plot = frame.chart.plots[0]
    plot.overlap, plot.gap_width = 100, 45
    for series, group in zip(plot.series, groups, strict=True):
        series.format.fill.solid()
        paint(series.format.fill.fore_color, group, groups)
        series.invert_if_negative = False
        if spread and group != "baseline":
            error_bars(series, "cat", below, above, "")
    if signed:
        _pale(plot, held, groups)
    else:
        _label(plot, "0.0" if spread else "0")
    _bar_axes(frame.chart, box, held, chart)
    legend(frame.chart, len(groups) > 1)
    return frame


def _data(held: Sequence[Bar], groups: Sequence[str], number_format: str) -> CategoryChartData:
    """Category data whose last two series are the ends of the intervals."""
    data = CategoryChartData(number_format=number_format)
    data.categories = [clean(bar.label) for bar in held]
    for group in groups:
        data.add_series(clean(group), [bar.value if bar.group == group else None for bar in held])
    data.add_series("interval below", [bar.value - bar.low for bar in held])
    data.add_series("interval above", [bar.high - bar.value for bar in held])
    return data


def _label(plot: Any, number_format: str) -> None:
    plot.has_data_labels = True
    labels = plot.data_labels
    labels.number_format, labels.number_format_is_linked = number_format, False
    labels.position = XL_LABEL_POSITION.INSIDE_BASE
    labels.font.size, labels.font.bold, labels.font.color.theme_color = Pt(11), True, MSO_THEME_COLOR.BACKGROUND_1


def _pale(plot: Any, held: Sequence[Bar], groups: Sequence[str]) -> None:
    for i, bar in enumerate(held):
        if not bar.strong:
            fill = plot.series[groups.index(bar.group)].points[i].format.fill
            fill.solid()
            paint(fill.fore_color, bar.group, groups)
            fill.fore_color.brightness = _PALE


def _bar_axes(chart: Any, box: Box, bars: Sequence[Bar], shown: BarChart) -> None:
    names, values = chart.category_axis, chart.value_axis
    names.reverse_order = True
    values._element.find("{*}crosses").set("val", "max")  # a reversed axis would carry the values on top
    names.tick_label_position = XL_TICK_LABEL_POSITION.LOW
    names._element.find("{*}noMultiLvlLbl").addprevious(parse_xml(f'<c:tickLblSkip {NAMESPACES} val="1"/>'))  # every name, however many
    names.tick_labels.font.size = Pt(SIZE if len(bars) <= 12 else 11)
    names.format.line.color.rgb = RGBColor.from_string(QUIET)
    low, high = min(0.0, *(bar.low for bar in bars)), max(0.0, *(bar.high for bar in bars))
    if shown.unit == "%" and low == 0:
        high = 100
    if low == high:  # no bar has a length, so the axis takes one of its own
        low, high = (-10.0, 10.0) if shown.band else (0.0, 10.0)
    step = max(1.0, tick_step(high - low))
    values.minimum_scale, values.maximum_scale, values.major_unit = math.floor(low / step) * step, math.ceil(high / step) * step, step
    value_axis(values, shown.unit, "0")
    labels = max(text_width(bar.label, SIZE) for bar in bars) + 0.25
    _inner(chart, min(0.42, labels / box.width), 0.02, box)


def _inner(chart: Any, left: float, top: float, box: Box) -> None:
    """Fix the inside of the axes, so that long names have their room; the axis title and legend stand below."""
    plot_area = chart._chartSpace.find(".//{*}plotArea")
    for old in plot_area.findall("{*}layout"):
        plot_area.remove(old)
    shares = {"x": left, "y": top, "w": 0.98 - left, "h": 1 - top - 1.1 / box.height}
    places = "".join(f'<c:{name} val="{share:.4f}"/>' for name, share in shares.items())
    modes = '<c:layoutTarget val="inner"/><c:xMode val="edge"/><c:yMode val="edge"/>'
    plot_area.insert(0, parse_xml(f"<c:layout {NAMESPACES}><c:manualLayout>{modes}{places}</c:manualLayout></c:layout>"))
