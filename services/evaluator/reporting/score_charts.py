"""Figures of the scores: accuracy, pools, and differences to the untrained student."""

from askback.contracts.evaluator import Scores
from askback.contracts.measures import ConditionScore
from services.evaluator.reporting.charts import Bar, BarChart
from services.evaluator.reporting.findings import BASE, TARGET_POINTS, against, leading
from services.evaluator.reporting.wording import counted, metric_name
from services.evaluator.stats.paired import ALPHA

MOST = 14
"""Conditions that a figure has room for."""


def accuracy(scores: Scores) -> BarChart:
    """Every condition, or the best of them where there are many."""
    shown = leading(scores, MOST)
    name = metric_name(shown[0].metrics[0].name)
    bars = [bar(score) for score in shown]
    best = max(bars, key=lambda bar: bar.value)
    part = "" if len(shown) == len(scores.conditions) else f" The best {len(shown)} of {len(scores.conditions)} conditions are shown."
    return BarChart(
        name="accuracy",
        title=f"{name[0].upper()}{name[1:]} by model and mode, with 95 % intervals",
        alt=f"{counted(len(bars), 'condition')} on {scores.n} test questions. The highest is {best.label} with {best.value:.1f} % "
        f"[{best.low:.1f}, {best.high:.1f}]; always giving the commonest answer would score {100 * scores.majority:.1f} %.{part}",
        source="scores.json: conditions[].metrics[0], majority",
        unit="%",
        bars=bars,
        baseline=100 * scores.majority,
        baseline_label=f"majority {100 * scores.majority:.1f} %",
    )


def bar(score: ConditionScore) -> Bar:
    """The primary metric in per cent."""
    first = score.metrics[0]
    return Bar(score.condition.name, 100 * first.value, 100 * first.low, 100 * first.high, score.condition.mode)


def pools(scores: Scores) -> BarChart | None:
    """None where every adapter was trained once."""
    modes = {score.condition.name: score.condition.mode for score in scores.conditions}
    bars = [
        Bar(
            f"{pool.name} ({counted(pool.seeds, 'seed')})",
            100 * pool.metric.value,
            100 * pool.metric.low,
            100 * pool.metric.high,
            modes.get(pool.conditions[0], ""),
        )
        for pool in scores.pooled
    ]
    if not any(pool.seeds > 1 for pool in scores.pooled):
        return None
    best = max(bars, key=lambda bar: bar.value)
    return BarChart(
        name="pooled",
        title="Seeds pooled: mean over trainings, with 95 % intervals",
        alt=f"Conditions with their trainings pooled. The highest is {best.label} with {best.value:.1f} % [{best.low:.1f}, {best.high:.1f}].",
        source="scores.json: pooled[].metric",
        unit="%",
        bars=bars,
        baseline=100 * scores.majority,
        baseline_label=f"majority {100 * scores.majority:.1f} %",
    )


def differences(scores: Scores) -> BarChart | None:
    """Against the untrained student; trainings that differ in their seed alone are one bar."""
    pools = [pool for pool in scores.pooled if pool.seeds > 1]
    inside = {name for pool in pools for name in pool.conditions}
    alone = [score for score in leading(scores, MOST) if score.condition.name not in inside]
    modes = {score.condition.name: score.condition.mode for score in scores.conditions}
    pairs = [(pool.name, against(scores.pooled_comparisons, BASE, pool.name), modes[pool.conditions[0]], pool.seeds) for pool in pools]
    pairs += [(name, against(scores.comparisons, BASE, name), modes[name], 1) for score in alone if (name := score.condition.name)]
    bars = [
        Bar(name + (f" ({seeds} seeds)" if seeds > 1 else ""), 100 * c.difference, 100 * c.low, 100 * c.high, mode, c.p_adjusted < ALPHA)
        for name, c, mode, seeds in pairs
        if c
    ]
    if not bars:
        return None
    best = max(bars, key=lambda bar: bar.value)
    return BarChart(
        name="differences",
        title=f"Difference to {BASE} in points, with 95 % intervals",
        alt=f"{counted(len(bars), 'condition')} against {BASE}. The largest gain is {best.label} with {best.value:+.1f} points "
        f"[{best.low:+.1f}, {best.high:+.1f}]. Filled marks: Holm's p is below {ALPHA}; {sum(bar.strong for bar in bars)} of {len(bars)} are.",
        source=f"scores.json: comparisons[]{', pooled_comparisons[]' if pools else ''} with {BASE}",
        unit="points",
        bars=bars,
        baseline=0.0,
        baseline_label="no difference",
        band=(float(TARGET_POINTS[0]), float(TARGET_POINTS[1])),
        band_label=f"target +{TARGET_POINTS[0]} to +{TARGET_POINTS[1]}",
    )
