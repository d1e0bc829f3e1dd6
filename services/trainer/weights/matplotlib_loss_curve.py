"""A training's losses as a picture. The figure is built without pyplot, so that no state outlives it."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from askback.contracts.trainer import LossPoint

_COLOUR = "#4c78a8"
_SHARE = 20  # the running mean's window is this part of all steps


def draw_losses(losses: Sequence[LossPoint], adapter: str, base_model: str, target: Path) -> None:
    """Write the PNG `target`: loss against step as a thin line, its running mean as a thick one. A folder's path is cut to its name."""
    figure = Figure(figsize=(8.0, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    steps, values = [point.step for point in losses], [point.loss for point in losses]
    window = max(1, len(values) // _SHARE)
    axes.plot(steps, values, color=_COLOUR, linewidth=0.6, alpha=0.6, marker="." if len(values) == 1 else "", label="loss of a step")
    axes.plot(steps, running_mean(values, window), color=_COLOUR, linewidth=2.2, label=f"mean of the last {window}")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("training loss")
    axes.set_title(f"{adapter} on {Path(base_model).name if Path(base_model).is_dir() else base_model}", parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(target)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """At each place the mean of it and of up to `window` - 1 values before it."""
    means, total = [], 0.0
    for place, value in enumerate(values):
        total += value - (values[place - window] if place >= window else 0.0)
        means.append(total / min(place + 1, window))
    return means
