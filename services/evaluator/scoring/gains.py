"""The clarification gain: each condition that asks against the same adapter without answers."""

from collections.abc import Mapping, Sequence

from askback.contracts.measures import Asking, Comparison, ConditionScore
from askback.contracts.records import Condition
from services.evaluator.scoring.comparisons import compared


def with_gains(scores_of: Sequence[ConditionScore], right: Mapping[str, Sequence[float]], seed: int) -> list[ConditionScore]:
    """`scores_of` with `asking.against`, `gain` and `usd_per_point` filled, in the same order.

    `right` holds 0/1 per question by condition name. A condition without `asking`, or without a counterpart in the run, stays as it is.
    `p_adjusted` of a gain is Holm's among the gains of the student's asking, or among those of mode `tutored`, which is another's asking;
    `seed` is that of the bootstrap.
    """
    by_name = {score.condition.name: score for score in scores_of}
    against = {score.condition.name: counterpart(score.condition, by_name) for score in scores_of if score.asking}
    metric = scores_of[0].metrics[0].name if scores_of else ""
    gains: dict[str, Comparison] = {}
    for tutored in (False, True):
        pairs = [(a, name) for name, a in against.items() if a and (by_name[name].condition.mode == "tutored") is tutored]
        gains |= {gain.b: gain for gain in compared(pairs, right, metric, seed)}
    return [
        score.model_copy(update={"asking": _gained(score, score.asking, by_name[gain.a], gain)})
        if score.asking and (gain := gains.get(score.condition.name))
        else score
        for score in scores_of
    ]


def counterpart(condition: Condition, names: Mapping[str, object]) -> str:
    """The name in `names` that the gain of `condition` is measured against; empty when the run has none.

    The same adapter and mode with resolver `none`, so that answers are all that differs, else the same adapter's direct mode.
    """
    silent = condition.model_copy(update={"resolver": "none"})
    direct = silent.model_copy(update={"mode": "direct"})
    return next((found.name for found in (silent, direct) if found.name in names and found.name != condition.name), "")


def _gained(score: ConditionScore, asking: Asking, against: ConditionScore, gain: Comparison) -> Asking:
    """Dollars are those that the condition costs beyond `against`; negative when it is the cheaper one."""
    price = None
    if gain.difference > 0 and score.cost and against.cost:
        price = (score.cost.usd.value - against.cost.usd.value) / (100 * gain.difference)
    return asking.model_copy(update={"against": gain.a, "gain": gain, "usd_per_point": price})
