"""Figures of what an answer costs, and of whether its probability means what it says."""

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Calibration
from services.evaluator.reporting.charts import Point, PointChart
from services.evaluator.reporting.findings import leading
from services.evaluator.reporting.score_charts import bar
from services.evaluator.reporting.wording import counted, metric_name

_CURVES = 3


def cost(scores: Scores) -> PointChart | None:
    """Dollars where any were paid, else tokens."""
    priced = [(score, score.cost) for score in scores.conditions if score.cost]
    if not priced:
        return None
    paid = any(price.usd.value > 0 for _, price in priced)
    points = []
    for score, price in priced:
        x = 1000 * price.usd.value if paid else price.prompt_tokens.value + price.completion_tokens.value
        shown = bar(score)
        points.append(Point(shown.label, x, shown.value, shown.low, shown.high, shown.group))
    unit = "US dollars per 1,000 questions" if paid else "tokens a question"
    dearest = max(points, key=lambda point: point.x)
    return PointChart(
        name="cost",
        title="Cost against accuracy at test time",
        alt=f"{counted(len(points), 'condition')} by {unit} and accuracy. The dearest is {dearest.label} at {dearest.x:,.2f} with {dearest.y:.1f} %.",
        source=f"scores.json: conditions[].cost.{'usd' if paid else 'prompt_tokens + completion_tokens'}, metrics[0]",
        x_label=unit,
        y_label=f"{metric_name(scores.conditions[0].metrics[0].name)} in %",
        points=points,
    )


def calibration(scores: Scores) -> PointChart | None:
    """The untrained student and the best conditions that have P(yes); None where none has."""
    curves = [(score, score.calibration) for score in leading(scores, len(scores.conditions)) if score.calibration and score.calibration.bins]
    kept = {score.condition.name for score in leading(scores, _CURVES)}
    curves = [(score, curve) for score, curve in curves if score.condition.name in kept] or curves[:_CURVES]
    if not curves:
        return None
    said = "; ".join(f"{score.condition.name}: expected calibration error {curve.expected_error:.3f}" for score, curve in curves)
    return PointChart(
        name="calibration",
        title="Calibration of P(yes): what it says against what is so",
        alt=f"Share of gold yes by P(yes); a calibrated model lies on the diagonal. {said}.",
        source="scores.json: conditions[].calibration.bins",
        x_label="mean P(yes) of the bin",
        y_label="share of gold yes",
        points=[point for score, curve in curves for point in _curve(score.condition.name, curve)],
        diagonal=True,
    )


def _curve(name: str, curve: Calibration) -> list[Point]:
    return [Point(f"n = {b.gold_yes.n}", b.p_yes, b.gold_yes.value, b.gold_yes.low, b.gold_yes.high, name) for b in curve.bins]
