"""A chart on its slide, native whatever its kind."""

from typing import Any

from services.evaluator.reporting.charts import BarChart, LineChart, PointChart
from services.evaluator.reporting.slides.page import Plot
from services.evaluator.reporting.slides.pptx_bars import bars
from services.evaluator.reporting.slides.pptx_parts import describe
from services.evaluator.reporting.slides.pptx_scatter import lines, points


def add_plot(slide: Any, plot: Plot) -> None:
    """Draw a bar, point or line chart; raises TypeError for a matrix, which is a table here."""
    chart = plot.chart
    if isinstance(chart, BarChart):
        frame = bars(slide, plot.box, chart)
    elif isinstance(chart, PointChart):
        frame = points(slide, plot.box, chart)
    elif isinstance(chart, LineChart):
        frame = lines(slide, plot.box, chart)
    else:
        raise TypeError(f"{type(chart).__name__} is drawn as a table")
    describe(frame, f"{chart.title}. {chart.alt}", "Chart")
