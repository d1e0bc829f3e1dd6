"""Stage `promote`: an adapter becomes the student only when a paired test says that it is better than the baseline.

Trainings that differ in their seed alone are judged as one, by the pooled test, and the one of the lowest seed is promoted: to take the
one that scored best on dev would choose by the very numbers that the promotion is reported with.
"""

from collections.abc import Mapping, Sequence

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison
from askback.contracts.records import Record
from askback.contracts.student import BASE, PREVIOUS
from askback.loop.config import PromoteConfig


class Promotion(Record):
    """The decision and its reason."""

    adapter: str
    """Promoted adapter, `base`, or `previous` where the student of the earlier run stays."""
    condition: str
    """What was compared; of several seeds the name of their pool."""
    reason: str


def decide(config: PromoteConfig, scores: Scores) -> Promotion:
    """The adapter whose condition, or pool of seeds, has the largest significant gain over the baseline.

    Without one it is `base`, or `previous` where the baseline is a condition of the earlier run's student.
    """
    adapters, baseline = _adapters(scores), config.baseline
    if baseline not in adapters:
        return Promotion(adapter=BASE, condition="", reason=_unmeasured(baseline, scores))
    standing = PREVIOUS if adapters[baseline] == PREVIOUS else BASE
    pairs = [pair for pair in (*scores.comparisons, *scores.pooled_comparisons) if {pair.a, pair.b} <= adapters.keys()]
    allowed = {name for name in _allowed(config.among, scores, adapters) if adapters[name] not in (BASE, standing)}
    gains = _corrected([gain for pair in pairs if baseline in (pair.a, pair.b) and (gain := _from_baseline(pair, baseline)).b in allowed])
    better = [gain for gain in gains if gain.low > 0 and gain.p_adjusted < config.alpha]
    if not better:
        who = f"none of {', '.join(config.among)}" if config.among else "no adapter"
        return Promotion(adapter=standing, condition=baseline, reason=f"{who} is shown to be better than {baseline} at n = {scores.n}")
    best = max(better, key=lambda gain: gain.difference)
    return Promotion(adapter=adapters[best.b], condition=best.b, reason=_reason(best, baseline, adapters, scores))


def _adapters(scores: Scores) -> dict[str, str]:
    """The adapter that would be promoted, by the name of what is compared; members of a pool are not compared alone."""
    by_name = {score.condition.name: score.condition for score in scores.conditions}
    members = {name for pool in scores.pooled for name in pool.conditions}
    found = {name: condition.adapter for name, condition in by_name.items() if name not in members}
    for pool in scores.pooled:
        lowest = min((by_name[name] for name in pool.conditions if name in by_name), key=lambda one: (one.seed is None, one.seed or 0), default=None)
        if lowest is not None:
            found[pool.name] = lowest.adapter
    return found


def _corrected(gains: Sequence[Comparison]) -> list[Comparison]:
    """Holm's correction over the candidates alone: the decision looks at no other of the run's comparisons."""
    corrected: list[Comparison] = []
    least = 0.0
    for rank, gain in enumerate(sorted(gains, key=lambda gain: gain.p_value)):
        least = max(least, min(1.0, gain.p_value * (len(gains) - rank)))
        corrected.append(gain.model_copy(update={"p_adjusted": least}))
    return corrected


def _allowed(among: Sequence[str], scores: Scores, adapters: Mapping[str, str]) -> set[str]:
    """The names of what may be promoted: those in `among`, where a family of one seed may go by the name of its pool, else all but the
    yardsticks, since no user has what those read.
    """
    pools = {score.condition.name: score.condition.pool for score in scores.conditions}
    if among:
        return {name for name in adapters if name in among or pools.get(name) in among}
    yardsticks = {name for score in scores.conditions if score.condition.yardstick for name in (score.condition.name, score.condition.pool)}
    return set(adapters) - yardsticks


def gain_of(condition: str, baseline: str, scores: Scores) -> str:
    """What `condition` gains over `baseline` in `scores`, in words; that it was not measured where they were not compared."""
    for pair in (*scores.comparisons, *scores.pooled_comparisons):
        if {pair.a, pair.b} == {condition, baseline}:
            return _told(_from_baseline(pair, baseline), baseline)
    return f"{condition} was not measured beside {baseline}"


def _unmeasured(baseline: str, scores: Scores) -> str:
    pool = next((pool.name for pool in scores.pooled if baseline in pool.conditions), None)
    return f"the baseline {baseline} is one of several seeds; name {pool}" if pool else f"the baseline {baseline} was not measured"


def _reason(best: Comparison, baseline: str, adapters: Mapping[str, str], scores: Scores) -> str:
    said = _told(best, baseline)
    pool = next((pool for pool in scores.pooled if pool.name == best.b), None)
    if pool is None:
        return said
    return f"{said}; of its {pool.seeds} seeds the lowest is promoted, {adapters[best.b]}, whatever each of them scored"


def _told(gain: Comparison, baseline: str) -> str:
    return (
        f"{gain.b} gains {100 * gain.difference:+.1f} points over {baseline}"
        f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, adjusted p = {gain.p_adjusted:.3g}, n = {gain.n})"
    )


def _from_baseline(comparison: Comparison, baseline: str) -> Comparison:
    """The comparison as "other minus baseline"."""
    if comparison.a == baseline:
        return comparison
    turned = {"a": comparison.b, "b": comparison.a, "difference": -comparison.difference, "low": -comparison.high, "high": -comparison.low}
    return comparison.model_copy(update=turned)
