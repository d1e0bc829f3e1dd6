"""Any chart as SVG: real text, a name and a description, colours from the page's theme."""

from services.evaluator.reporting.charts import AnyChart, BarChart, LineChart, PointChart
from services.evaluator.reporting.svg import bars, lines, matrix, points
from services.evaluator.reporting.svg.canvas import WIDTH, Canvas
from services.evaluator.reporting.theme import FIGURE_STYLE, THEME


def inline(chart: AnyChart) -> str:
    """For a page that has the theme's style."""
    canvas, height = _draw(chart)
    return canvas.svg(height, chart.name, chart.title, chart.alt)


def file(chart: AnyChart) -> bytes:
    """A file of its own, which brings its style and its ground in light and dark."""
    canvas, height = _draw(chart)
    ground = f'<style>{THEME}{FIGURE_STYLE}</style><rect class="ground" x="-12" y="-12" width="{WIDTH + 24:.0f}" height="{height + 24:.0f}"/>'
    whole = canvas.svg(height, chart.name, chart.title, chart.alt, ground)
    seen = f'viewBox="-12 -12 {WIDTH + 24:.0f} {height + 24:.0f}" width="{WIDTH + 24:.0f}" height="{height + 24:.0f}"'
    return (whole.replace(f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"', seen, 1) + "\n").encode()


def _draw(chart: AnyChart) -> tuple[Canvas, float]:
    if isinstance(chart, BarChart):
        return bars.draw(chart)
    if isinstance(chart, PointChart):
        return points.draw(chart)
    return lines.draw(chart) if isinstance(chart, LineChart) else matrix.draw(chart)
