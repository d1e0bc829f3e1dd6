"""Figures of how the run went: who agrees with whom, training, harvest."""

from collections.abc import Mapping
from typing import Any

from services.evaluator.reporting.agreement import agreement
from services.evaluator.reporting.charts import Bar, BarChart, Line, LineChart, MatrixChart
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import HarvestFindings, leading
from services.evaluator.reporting.wording import counted

_CELLS = 12


def matrix(facts: RunFacts) -> MatrixChart | None:
    """Gold and each condition, pair by pair; None with fewer than two conditions."""
    names = [score.condition.name for score in leading(facts.scores, _CELLS) if score.condition.name in facts.predictions]
    if len(names) < 2:
        return None
    values = agreement(facts.samples, [facts.predictions[name] for name in names])
    pairs = [(values[i + 1][j + 1], names[i], names[j]) for i in range(len(names)) for j in range(i)]
    most, least = max(pairs), min(pairs)
    return MatrixChart(
        name="agreement",
        title="Agreement: share of questions with the same answer",
        alt=f"Gold and {counted(len(names), 'condition')}, pair by pair. Most alike are {most[1]} and {most[2]} ({100 * most[0]:.0f} %), "
        f"least {least[1]} and {least[2]} ({100 * least[0]:.0f} %). Unparsable and failed answers agree with nothing.",
        source="predictions/*.jsonl: answer; samples/dev.jsonl: answer",
        labels=["gold", *names],
        values=values,
    )


def losses(trainings: Mapping[str, Mapping[str, Any]]) -> LineChart | None:
    """One line for each adapter; None without losses."""
    lines = [
        Line(name, [float(point["step"]) for point in training["losses"]], [float(point["loss"]) for point in training["losses"]])
        for name, training in trainings.items()
        if training.get("losses")
    ]
    if not lines:
        return None
    said = "; ".join(f"{line.label} from {line.y[0]:.2f} to {line.y[-1]:.2f} in {line.x[-1]:.0f} steps" for line in lines)
    return LineChart(
        name="training_loss",
        title="Training loss by optimiser step",
        alt=f"{said}.",
        source="adapters/<name>/training.json: losses",
        x_label="optimiser step",
        y_label="training loss",
        lines=lines,
    )


def harvest(found: HarvestFindings | None) -> BarChart | None:
    """Rows that each stage answered and failed; None without a harvest."""
    if not found:
        return None
    bars = []
    for count in found.stages:
        bars.append(Bar(f"{count.stage}: answered", count.answered, count.answered, count.answered, "answered"))
        if count.failed:
            bars.append(Bar(f"{count.stage}: failed", count.failed, count.failed, count.failed, "failed", strong=False))
    return BarChart(
        name="harvest",
        title="Harvest: rows that each stage answered and failed",
        alt="; ".join(f"{count.stage}: {count.answered} answered, {count.failed} failed" for count in found.stages) + ".",
        source="harvest.jsonl: stage, error (last record of each row and stage)",
        unit="rows",
        bars=bars,
    )
