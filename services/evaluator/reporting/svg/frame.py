"""Two axes with their grid and names."""

from dataclasses import dataclass

from services.evaluator.reporting.svg.canvas import Canvas
from services.evaluator.reporting.svg.scale import Scale


@dataclass(frozen=True)
class Frame:
    x: Scale
    y: Scale
    """Runs upwards: its start is the lower pixel."""


def framed(canvas: Canvas, frame: Frame, x_label: str, y_label: str) -> None:
    """Draw the axes, their ticks and their names."""
    for tick in frame.y.ticks:
        y = frame.y.at(tick)
        canvas.line(frame.x.start, y, frame.x.end, y, "grid")
        canvas.text(frame.x.start - 8, y + 4.5, frame.y.label(tick), "soft", "end")
    for tick in frame.x.ticks:
        x = frame.x.at(tick)
        canvas.line(x, frame.y.start, x, frame.y.start + 5, "axis")
        canvas.text(x, frame.y.start + 20, frame.x.label(tick), "soft", "middle")
    canvas.line(frame.x.start, frame.y.start, frame.x.end, frame.y.start, "axis")
    canvas.text((frame.x.start + frame.x.end) / 2, frame.y.start + 41, x_label, "soft", "middle")
    canvas.upright(14, (frame.y.start + frame.y.end) / 2, y_label)
