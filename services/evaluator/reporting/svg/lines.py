"""Curves over steps, told apart by colour, sign and dash."""

from services.evaluator.reporting.charts import LineChart
from services.evaluator.reporting.svg.canvas import SHAPES, WIDTH, Canvas, in_order
from services.evaluator.reporting.svg.frame import Frame, framed
from services.evaluator.reporting.svg.scale import scale

_LEFT, _TOP, _BOTTOM = 66.0, 14.0, 320.0
_SIGNS = 10
"""Signs on a curve."""


def draw(chart: LineChart) -> tuple[Canvas, float]:
    """The drawing and its height."""
    canvas = Canvas()
    xs, ys = [x for line in chart.lines for x in line.x], [y for line in chart.lines for y in line.y]
    frame = Frame(scale(0, max(xs), _LEFT, WIDTH - 12), scale(min(0.0, *ys), max(ys), _BOTTOM, _TOP, 5))
    framed(canvas, frame, chart.x_label, chart.y_label)
    styles = in_order([line.label for line in chart.lines])
    for line in chart.lines:
        style = styles[line.label]
        places = [(frame.x.at(x), frame.y.at(y)) for x, y in zip(line.x, line.y, strict=True)]
        canvas.path(places, f"curve c{style % SHAPES}" + (" dashed" if style >= SHAPES else ""))
        every = max(1, len(places) // _SIGNS)
        for i in dict.fromkeys((*range(0, len(places), every), len(places) - 1)):
            x, y = places[i]
            canvas.mark(x, y, style, f"{line.label}, step {line.x[i]:.0f}: {line.y[i]:.3f}", size=4.0)
    lowest = canvas.legend(list(styles), list(styles.values()), _BOTTOM + 66, _LEFT)
    return canvas, lowest + 8
