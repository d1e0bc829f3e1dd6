"""What a figure shows, apart from how it is drawn: SVG in the report, native charts in the slides."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    low: float
    """Lower end of the 95 % interval, in the unit of `value`; equal to `high` where there is none."""
    high: float
    group: str
    """Bars of one group share a colour, such as all of one mode."""
    strong: bool = True
    """False where a difference is not shown: drawn as an open mark."""


@dataclass(frozen=True)
class Chart:
    """What every figure says beside its data."""

    name: str
    """File name without its ending."""
    title: str
    alt: str
    """The figure in one or two sentences, for those who do not see it."""
    source: str
    """Where its numbers come from, such as `scores.json: conditions[].metrics`."""


@dataclass(frozen=True)
class BarChart(Chart):
    unit: str
    bars: Sequence[Bar]
    baseline: float | None = None
    """A line to hold the bars against, in their unit, with `baseline_label`."""
    baseline_label: str = ""
    band: tuple[float, float] | None = None
    """A range to hold the bars against, in their unit, with `band_label`."""
    band_label: str = ""


@dataclass(frozen=True)
class Point:
    label: str
    x: float
    y: float
    low: float
    """Lower end of y's 95 % interval."""
    high: float
    group: str


@dataclass(frozen=True)
class PointChart(Chart):
    x_label: str
    y_label: str
    points: Sequence[Point]
    diagonal: bool = False
    """Draw y = x, as a calibration curve is held against; both axes then run from 0 to 1."""


@dataclass(frozen=True)
class Line:
    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class LineChart(Chart):
    x_label: str
    y_label: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class MatrixChart(Chart):
    labels: Sequence[str]
    values: Sequence[Sequence[float]]
    """Row by row, in [0, 1]."""


AnyChart = BarChart | PointChart | LineChart | MatrixChart
