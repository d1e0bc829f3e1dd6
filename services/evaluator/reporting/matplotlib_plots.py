"""Plots as PNG bytes. Figures are built without pyplot, whose global state is not safe in a threaded server."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison, ConditionScore
from services.evaluator.reporting.findings import BASE, StageCount
from services.evaluator.reporting.wording import METRIC_NAMES

_COLOURS = {"direct": "#4c78a8", "cot": "#f58518", "context": "#72b7b2", "assisted": "#54a24b"}
_OTHER = "#9d755d"
_GREY = "#6b6b6b"
_WIDTH = 9.0
_DPI = 150


def accuracy(scores: Scores, shown: Sequence[ConditionScore]) -> bytes:
    """The primary metric of the conditions `shown` with 95 % intervals, and the majority baseline as a line."""
    rows = [(score.condition.name, score.condition.mode, score.metrics[0]) for score in reversed(shown)]
    figure, axes = _canvas(len(rows))
    for y, (_, mode, found) in enumerate(rows):
        low, high = 100 * (found.value - found.low), 100 * (found.high - found.value)
        axes.barh(y, 100 * found.value, color=_COLOURS.get(mode, _OTHER), height=0.62)
        axes.errorbar(100 * found.value, y, xerr=[[low], [high]], color="black", capsize=4, linewidth=1.2)
        axes.text(100 * found.high + 1.2, y, f"{100 * found.value:.1f} %", va="center", fontsize=9)
    axes.axvline(100 * scores.majority, color=_GREY, linestyle="--", linewidth=1.2)
    axes.text(100 * scores.majority, 1.01, f"majority {100 * scores.majority:.1f} %", transform=axes.get_xaxis_transform(), ha="center", color=_GREY)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel(f"{METRIC_NAMES[rows[0][2].name]} in %, n = {scores.n}, bars: 95 % interval")
    return _png(figure)


def differences(comparisons: Sequence[Comparison]) -> bytes:
    """Forest plot of b - a in points with 95 % intervals, filled where Holm's p is below 0.05."""
    rows = list(reversed(comparisons))
    figure, axes = _canvas(len(rows))
    for y, c in enumerate(rows):
        spread = [[100 * (c.difference - c.low)], [100 * (c.high - c.difference)]]
        face = _COLOURS["direct"] if c.p_adjusted < 0.05 else "white"
        axes.errorbar(100 * c.difference, y, xerr=spread, fmt="o", color=_COLOURS["direct"], markerfacecolor=face, capsize=4, markersize=7)
    axes.axvline(0, color=_GREY, linewidth=1.2)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [c.b if c.a == BASE else f"{c.b} − {c.a}" for c in rows])
    axes.set_xlabel(f"difference to {BASE} in points, n = {rows[0].n}\nbars: 95 % paired bootstrap; filled: Holm p < 0.05")
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def training_loss(trainings: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Loss against optimiser step, one line per adapter."""
    figure = Figure(figsize=(_WIDTH, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for name, training in trainings.items():
        losses = training["losses"]
        axes.plot([point["step"] for point in losses], [point["loss"] for point in losses], label=name, linewidth=1.6, marker="o", markersize=3)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("training loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _png(figure)


def harvest(stages: Sequence[StageCount]) -> bytes:
    """Rows that each stage of the harvest answered and failed."""
    figure = Figure(figsize=(_WIDTH, 3.4), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    names = [count.stage for count in stages]
    answered = axes.bar(names, [count.answered for count in stages], color=_COLOURS["assisted"], width=0.5, label="answered")
    failed = axes.bar(names, [count.failed for count in stages], bottom=[c.answered for c in stages], color="#e45756", width=0.5, label="failed")
    axes.bar_label(answered, labels=[str(c.answered) if c.answered else "" for c in stages], label_type="center", color="white")
    axes.bar_label(failed, labels=[f"{c.failed} failed" if c.failed else "" for c in stages], padding=2)
    axes.set_ylim(0, 1.12 * max(1, *(c.answered + c.failed for c in stages)))  # room for the label above the tallest bar
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("rows")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _png(figure)


def _canvas(rows: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, 1.5 + 0.42 * max(rows, 2)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
