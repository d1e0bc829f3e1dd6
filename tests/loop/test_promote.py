import pytest

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison, ConditionScore, Metric
from askback.contracts.records import Condition
from askback.loop.config import PromoteConfig
from askback.loop.promote import decide


def condition(adapter: str, mode: str, resolver: str = "none") -> ConditionScore:
    metric = Metric(name="accuracy", value=0.5, stderr=0.1, low=0.4, high=0.6, n=100)
    return ConditionScore(condition=Condition(adapter=adapter, mode=mode, resolver=resolver), metrics=[metric], unparsable=0, failed=0)


def comparison(a: str, b: str, difference: float, low: float, high: float, p: float) -> Comparison:
    return Comparison(a=a, b=b, metric="accuracy", difference=difference, low=low, high=high, p_value=p, p_adjusted=p, n=100, verdict="")


CONDITIONS = [
    condition("base", "direct"),
    condition("base", "assisted", "teacher"),
    condition("direct", "direct"),
    condition("dialogue", "assisted", "teacher"),
]


@pytest.mark.parametrize(
    ("comparisons", "adapter"),
    [
        ([comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)], "direct"),
        ([comparison("direct.direct", "base.direct", -0.1, -0.18, -0.02, 0.01)], "direct"),
        ([comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.2)], "base"),
        ([comparison("base.direct", "direct.direct", 0.1, -0.02, 0.22, 0.01)], "base"),
        ([comparison("base.direct", "direct.direct", -0.1, -0.2, -0.01, 0.01)], "base"),
        ([comparison("base.direct", "base.assisted.teacher", 0.2, 0.1, 0.3, 0.001)], "base"),
        (
            [
                comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01),
                comparison("base.direct", "dialogue.assisted.teacher", 0.2, 0.1, 0.3, 0.001),
                comparison("direct.direct", "dialogue.assisted.teacher", 0.1, 0.1, 0.3, 0.001),
            ],
            "dialogue",
        ),
        ([], "base"),
    ],
)
def test_only_a_shown_gain_promotes(comparisons: list[Comparison], adapter: str) -> None:
    scores = Scores(task="strategyqa", n=100, majority=0.5, conditions=CONDITIONS, comparisons=comparisons)
    assert decide(PromoteConfig(), scores).adapter == adapter


def test_the_reason_carries_the_numbers() -> None:
    gain = comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)
    reason = decide(PromoteConfig(), Scores(task="strategyqa", n=100, majority=0.5, conditions=CONDITIONS, comparisons=[gain])).reason
    assert "+10.0 points" in reason and "+2.0 to +18.0" in reason and "n = 100" in reason


def test_a_baseline_that_was_not_measured_promotes_nothing() -> None:
    scores = Scores(task="strategyqa", n=100, majority=0.5, conditions=CONDITIONS[2:], comparisons=[])
    assert "was not measured" in decide(PromoteConfig(), scores).reason
