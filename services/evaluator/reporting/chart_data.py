"""The figures of a run, as data: each is left out where the run lacks its numbers."""

from services.evaluator.reporting import point_charts, process_charts, score_charts
from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.facts import RunFacts


def charts(facts: RunFacts) -> list[AnyChart]:
    """Accuracy, pooled accuracy, differences, cost, calibration, agreement, training loss and harvest, in this order."""
    scores = facts.scores
    found: list[AnyChart | None] = [
        score_charts.accuracy(scores),
        score_charts.pools(scores),
        score_charts.differences(scores),
        point_charts.cost(scores),
        point_charts.calibration(scores),
        process_charts.matrix(facts),
        process_charts.losses(facts.trainings),
        process_charts.harvest(facts.harvest),
    ]
    return [chart for chart in found if chart]
