"""Stage `promote`: an adapter becomes the student only when a paired test says that it is better than the baseline."""

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison
from askback.contracts.records import Record
from askback.contracts.student import BASE
from askback.loop.config import PromoteConfig


class Promotion(Record):
    """The decision and its reason."""

    adapter: str
    """Promoted adapter, or `base`."""
    condition: str
    reason: str


def decide(config: PromoteConfig, scores: Scores) -> Promotion:
    """The adapter whose condition has the largest significant gain over the baseline, else `base`."""
    adapters = {score.condition.name: score.condition.adapter for score in scores.conditions}
    if config.baseline not in adapters:
        return Promotion(adapter=BASE, condition="", reason=f"the baseline {config.baseline} was not measured")
    gains = [_from_baseline(comparison, config.baseline) for comparison in scores.comparisons if config.baseline in (comparison.a, comparison.b)]
    better = [gain for gain in gains if gain.low > 0 and gain.p_adjusted < config.alpha and adapters[gain.b] != BASE]
    if not better:
        return Promotion(adapter=BASE, condition=config.baseline, reason=f"no adapter is shown to be better than {config.baseline} at n = {scores.n}")
    best = max(better, key=lambda gain: gain.difference)
    reason = (
        f"{best.b} gains {100 * best.difference:+.1f} points over {config.baseline}"
        f" (95 % interval {100 * best.low:+.1f} to {100 * best.high:+.1f}, adjusted p = {best.p_adjusted:.3g}, n = {best.n})"
    )
    return Promotion(adapter=adapters[best.b], condition=best.b, reason=reason)


def _from_baseline(comparison: Comparison, baseline: str) -> Comparison:
    """The comparison as "other minus baseline"."""
    if comparison.a == baseline:
        return comparison
    turned = {"a": comparison.b, "b": comparison.a, "difference": -comparison.difference, "low": -comparison.high, "high": -comparison.low}
    return comparison.model_copy(update=turned)
