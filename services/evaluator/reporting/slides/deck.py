"""The deck from first slide to last: facts and charts in, a .pptx file out."""

from collections.abc import Sequence

from services.evaluator.reporting.charts import AnyChart, BarChart, LineChart, MatrixChart, PointChart
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.slides import closing, material, mistakes, opening, results, verdicts
from services.evaluator.reporting.slides.measure import short
from services.evaluator.reporting.slides.page import Slide
from services.evaluator.reporting.slides.pptx_deck import drawn


def deck(facts: RunFacts, charts: Sequence[AnyChart]) -> bytes:
    """A .pptx file of native text, tables and charts; the same facts and charts give the same bytes."""
    title = f"askback: {opening.task_name(facts)}, run {facts.run_id}"
    return drawn(slides(facts, charts), title, short(title, 84))


def slides(facts: RunFacts, charts: Sequence[AnyChart]) -> list[Slide]:
    """What the deck says, in order; a part that the run lacks has no slide."""
    by_name = {chart.name: chart for chart in charts}
    bars = {name: chart for name, chart in by_name.items() if isinstance(chart, BarChart)}
    points = {name: chart for name, chart in by_name.items() if isinstance(chart, PointChart)}
    lines = next((chart for chart in charts if isinstance(chart, LineChart)), None)
    matrix = next((chart for chart in charts if isinstance(chart, MatrixChart)), None)
    return [
        opening.opening_slide(facts),
        opening.question_slide(facts),
        opening.loop_slide(facts),
        *material.data_slides(facts),
        *material.harvest_slides(facts.harvest, bars.get("harvest")),
        *material.training_slides(facts, lines),
        *results.result_slides(facts),
        *(results.accuracy_slides(bars["accuracy"]) if "accuracy" in bars else []),
        *(results.difference_slides(bars["differences"]) if "differences" in bars else []),
        *results.pooled_slides(facts.scores.pooled),
        *(results.pooled_bar_slides(bars["pooled"]) if "pooled" in bars else []),
        *verdicts.comparison_slides(facts),
        *verdicts.pooled_comparison_slides(facts.scores.pooled_comparisons),
        *verdicts.asking_slides(facts),
        *material.cost_slides(facts),
        *(results.cost_chart_slides(points["cost"]) if "cost" in points else []),
        *(results.calibration_slides(points["calibration"], facts) if "calibration" in points else []),
        *(results.agreement_slides(matrix) if matrix else []),
        *mistakes.mistake_slides(facts.examples),
        *verdicts.overlap_slides(facts.scores.overlaps, facts.scores.n),
        *closing.limit_slides(facts),
        *closing.source_slides(facts, charts),
    ]
