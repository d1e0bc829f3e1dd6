"""What all charts share: their frame, axes, colours, legend, and the bars of their intervals."""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_LEGEND_POSITION
from pptx.enum.dml import MSO_THEME_COLOR
from pptx.oxml import parse_xml
from pptx.util import Inches, Pt

from services.evaluator.reporting.slides.page import Box
from services.evaluator.reporting.slides.theme import ACCENTS, GRID, QUIET

ACCENT_COLOURS = (
    MSO_THEME_COLOR.ACCENT_1,
    MSO_THEME_COLOR.ACCENT_2,
    MSO_THEME_COLOR.ACCENT_3,
    MSO_THEME_COLOR.ACCENT_4,
    MSO_THEME_COLOR.ACCENT_5,
    MSO_THEME_COLOR.ACCENT_6,
)
NAMESPACES = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
SIZE = 12
_GREY = frozenset({"baseline", "failed"})


def chart_frame(slide: Any, box: Box, kind: Any, data: Any) -> Any:
    frame = slide.shapes.add_chart(kind, *(Inches(length) for length in (box.left, box.top, box.width, box.height)), data)
    frame.chart.has_title = False
    frame.chart.font.size = Pt(SIZE)
    frame.chart.font.color.theme_color = MSO_THEME_COLOR.TEXT_1
    return frame


def take_series(chart: Any, values: str, count: int = 2) -> list[Any]:
    """Take the last series out of the chart, but not out of its workbook, and return their cell references."""
    elements = [series._element for series in chart.plots[0].series][-count:]
    for element in elements:
        element.getparent().remove(element)
    return [element.find(f"{{*}}{values}").find("{*}numRef") for element in elements]


def error_bars(series: Any, before: str, below: Any, above: Any, direction: str, fill: str = '<a:schemeClr val="tx1"/>') -> None:
    """Bars whose ends are cells of the workbook; python-pptx has no call for them."""
    way = f'<c:errDir val="{direction}"/>' if direction else ""
    bars = parse_xml(
        f'<c:errBars {NAMESPACES}>{way}<c:errBarType val="both"/><c:errValType val="cust"/><c:noEndCap val="0"/><c:plus/><c:minus/>'
        f'<c:spPr><a:ln w="12700"><a:solidFill>{fill}</a:solidFill></a:ln></c:spPr></c:errBars>'
    )
    bars.find("{*}plus").append(deepcopy(above))
    bars.find("{*}minus").append(deepcopy(below))
    series._element.find(f"{{*}}{before}").addprevious(bars)


def paint(colour: Any, group: str, groups: Sequence[str]) -> None:
    """Grey for what is held against, else the group's accent."""
    if group in _GREY:
        colour.rgb = RGBColor.from_string(QUIET)
    else:
        colour.theme_color = ACCENT_COLOURS[_accent(group, groups) - 1]


def accent_name(group: str, groups: Sequence[str]) -> str:
    """The group's accent as the theme calls it, such as `accent1`."""
    return f"accent{_accent(group, groups)}"


def _accent(group: str, groups: Sequence[str]) -> int:
    """A mode has its own accent in every chart of modes; other groups take the accents in turn."""
    if _GREY | ACCENTS.keys() >= set(groups):
        return ACCENTS.get(group, 6)
    return 1 + list(groups).index(group) % len(ACCENT_COLOURS)


def titled_axes(chart: Any, x_label: str, y_label: str) -> None:
    value_axis(chart.category_axis, x_label, "General", grid=False)
    value_axis(chart.value_axis, y_label, "General")


def value_axis(axis: Any, title: str, number_format: str, *, grid: bool = True) -> None:
    axis.has_title = True
    axis.axis_title.text_frame.text = title
    run = axis.axis_title.text_frame.paragraphs[0].runs[0]
    run.font.size, run.font.bold = Pt(SIZE), False
    axis.has_major_gridlines = grid
    if grid:
        axis.major_gridlines.format.line.color.rgb = RGBColor.from_string(GRID)
    axis.format.line.color.rgb = RGBColor.from_string(QUIET)
    axis.tick_labels.font.size = Pt(SIZE)
    axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = number_format, False


def legend(chart: Any, shown: bool) -> None:
    chart.has_legend = shown
    if shown:
        chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
        chart.legend.font.size = Pt(SIZE)


def tick_step(span: float) -> float:
    """A round distance between ticks: five to ten of them over `span`."""
    size: float = 10 ** math.floor(math.log10(span or 1.0))
    return size * next((factor for factor in (0.1, 0.2, 0.5, 1, 2) if span / (size * factor) <= 8), 2)
