"""A square of shares; columns bear the numbers of the rows, so that no name stands on its side."""

from services.evaluator.reporting.charts import MatrixChart
from services.evaluator.reporting.svg.canvas import CHARACTER, WIDTH, Canvas

_TOP, _ROW = 26.0, 30.0
_DARKEST = 0.5
"""Opacity of a share of 1: words stay readable on it."""


def draw(chart: MatrixChart) -> tuple[Canvas, float]:
    """The drawing and its height."""
    canvas = Canvas()
    names = [f"{label}  {i}" for i, label in enumerate(chart.labels, 1)]
    left = min(330.0, CHARACTER * max(len(name) for name in names) + 14)
    width = min(74.0, (WIDTH - left) / len(names))
    for i, (name, row) in enumerate(zip(names, chart.values, strict=True)):
        y = _TOP + _ROW * i
        canvas.text(left - 10, y + 19.5, name, "", "end")
        canvas.text(left + width * (i + 0.5), 16, str(i + 1), "soft", "middle")
        for j, value in enumerate(row):
            canvas.rect(left + width * j + 1, y + 1, width - 2, _ROW - 2, "cell", _DARKEST * value)
            canvas.text(left + width * (j + 0.5), y + 19.5, f"{100 * value:.0f}", "number", "middle")
    bottom = _TOP + _ROW * len(names)
    canvas.text(left, bottom + 20, "% of the questions; the column's number is that of the row", "soft")
    return canvas, bottom + 30
