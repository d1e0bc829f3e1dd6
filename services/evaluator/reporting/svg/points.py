"""Points with intervals on two axes, each named beside its mark where there is room."""

from collections.abc import Sequence

from services.evaluator.reporting.charts import Point, PointChart
from services.evaluator.reporting.svg.canvas import CHARACTER, SHAPES, WIDTH, Canvas, in_order, styles_of
from services.evaluator.reporting.svg.frame import Frame, framed
from services.evaluator.reporting.svg.scale import scale

_LEFT, _TOP, _BOTTOM = 66.0, 14.0, 380.0
Box = tuple[float, float, float, float]


def draw(chart: PointChart) -> tuple[Canvas, float]:
    """The drawing and its height."""
    canvas, styles = Canvas(), _styles(chart)
    frame = _frame(chart)
    framed(canvas, frame, chart.x_label, chart.y_label)
    if chart.diagonal:
        canvas.line(frame.x.at(0), frame.y.at(0), frame.x.at(1), frame.y.at(1), "base")
        for group, style in styles.items():
            joined = [(frame.x.at(point.x), frame.y.at(point.y)) for point in chart.points if point.group == group]
            canvas.path(joined, f"curve c{style % SHAPES}")
    for point in chart.points:
        _point(canvas, frame, point, styles[point.group])
    if chart.diagonal:
        canvas.text(frame.x.at(1), frame.y.at(0.84), "calibrated", "soft halo", "end")
    else:
        _names(canvas, frame, chart.points)
    lowest = canvas.legend(list(styles), list(styles.values()), _BOTTOM + 66, _LEFT)
    return canvas, lowest + 8


def _styles(chart: PointChart) -> dict[str, int]:
    groups = list(dict.fromkeys(point.group for point in chart.points))
    return in_order(groups) if chart.diagonal else styles_of(groups)


def _frame(chart: PointChart) -> Frame:
    if chart.diagonal:
        return Frame(scale(0, 1, _LEFT, WIDTH - 28, 5), scale(0, 1, _BOTTOM, _TOP, 5))
    xs, ys = [point.x for point in chart.points], [value for point in chart.points for value in (point.low, point.high)]
    return Frame(scale(0, max(xs) * 1.02 or 1.0, _LEFT, WIDTH - 28), scale(min(ys), max(ys), _BOTTOM, _TOP))


def _point(canvas: Canvas, frame: Frame, point: Point, style: int) -> None:
    x, y = frame.x.at(point.x), frame.y.at(point.y)
    canvas.line(x, frame.y.at(point.low), x, frame.y.at(point.high), f"whisker thin c{style % SHAPES}")
    tip = f"{point.group}, {point.label}: {point.y:.3g} [{point.low:.3g}, {point.high:.3g}] at {point.x:.3g}"
    canvas.mark(x, y, style, tip)


def _names(canvas: Canvas, frame: Frame, points: Sequence[Point]) -> None:
    """Each name at the first place around its mark that is free, if need be across a whisker; without any, the mark's tip has to do."""
    at = [(frame.x.at(p.x), frame.y.at(p.y), frame.y.at(p.high), frame.y.at(p.low)) for p in points]
    taken: list[Box] = [(x - 7, y - 7, x + 7, y + 7) for x, y, _, _ in at]
    whiskers: list[Box] = [(x - 2, high, x + 2, low) for x, _, high, low in at]
    for point, (x, y, _, _) in sorted(zip(points, at, strict=True), key=lambda pair: pair[1][1]):
        width = CHARACTER * len(point.label)
        boxes = [(left, middle - 8, left + width, middle + 8) for left, middle in _places(x, y, width)]
        free = [box for box in boxes if _inside(box, frame) and not _any(box, taken)]
        if free:
            box = next((box for box in free if not _any(box, whiskers)), free[0])
            taken.append(box)
            canvas.text(box[0], box[1] + 12.5, point.label, "halo")


def _inside(box: Box, frame: Frame) -> bool:
    return box[0] >= frame.x.start and box[2] <= WIDTH and box[1] >= 0 and box[3] <= frame.y.start


def _any(box: Box, others: Sequence[Box]) -> bool:
    return any(_meet(box, other) for other in others)


def _places(x: float, y: float, width: float) -> list[tuple[float, float]]:
    """Left ends and heights of a name around a mark, the best first."""
    beside = [(x + 10, y), (x - 10 - width, y)]
    return beside + [(left, y + dy) for dy in (-16, 16, -32, 32, -48, 48) for left in (x + 10, x - 10 - width)]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
