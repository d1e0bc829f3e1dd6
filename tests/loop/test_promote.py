import pytest

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Comparison, ConditionScore, Metric, PooledScore
from askback.contracts.records import Condition
from askback.loop.config import PromoteConfig
from askback.loop.promote import decide, gain_of


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


@pytest.mark.parametrize(
    ("comparisons", "adapter"),
    [
        ([comparison("previous.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)], "direct"),
        ([comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)], "previous"),
        ([comparison("previous.direct", "base.direct", 0.1, 0.02, 0.18, 0.01)], "previous"),
        ([comparison("previous.direct", "previous.assisted.teacher", 0.2, 0.1, 0.3, 0.001)], "previous"),
    ],
)
def test_the_student_of_an_earlier_run_stays_until_it_is_beaten(comparisons: list[Comparison], adapter: str) -> None:
    earlier = [condition("previous", "direct"), condition("previous", "assisted", "teacher")]
    scores = Scores(task="strategyqa", n=100, majority=0.5, conditions=[*CONDITIONS, *earlier], comparisons=comparisons)
    assert decide(PromoteConfig(baseline="previous.direct"), scores).adapter == adapter


def test_the_student_of_an_earlier_run_may_beat_base() -> None:
    scores = Scores(
        task="strategyqa",
        n=100,
        majority=0.5,
        conditions=[*CONDITIONS, condition("previous", "direct")],
        comparisons=[comparison("base.direct", "previous.direct", 0.1, 0.02, 0.18, 0.01)],
    )
    assert decide(PromoteConfig(), scores).adapter == "previous"


def test_the_reason_carries_the_numbers() -> None:
    gain = comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)
    reason = decide(PromoteConfig(), Scores(task="strategyqa", n=100, majority=0.5, conditions=CONDITIONS, comparisons=[gain])).reason
    assert "+10.0 points" in reason and "+2.0 to +18.0" in reason and "n = 100" in reason


def test_a_baseline_that_was_not_measured_promotes_nothing() -> None:
    scores = Scores(task="strategyqa", n=100, majority=0.5, conditions=CONDITIONS[2:], comparisons=[])
    assert "was not measured" in decide(PromoteConfig(), scores).reason


def member(seed: int) -> ConditionScore:
    alone = condition(f"direct-s{seed}", "direct")
    return alone.model_copy(update={"condition": alone.condition.model_copy(update={"family": "direct", "seed": seed})})


def of_seeds(alone: list[Comparison], pooled: list[Comparison]) -> Scores:
    metric = Metric(name="accuracy", value=0.6, stderr=0.1, low=0.5, high=0.7, n=100)
    pool = PooledScore(name="direct.direct", conditions=["direct-s15.direct", "direct-s7.direct"], metric=metric, seeds=2, seed_stderr=0.01)
    return Scores(
        task="strategyqa",
        n=100,
        majority=0.5,
        conditions=[*CONDITIONS[:2], CONDITIONS[3], member(15), member(7)],
        comparisons=alone,
        pooled=[pool],
        pooled_comparisons=pooled,
    )


def test_several_seeds_are_judged_as_one_and_the_lowest_is_promoted() -> None:
    pooled = [comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)]
    decision = decide(PromoteConfig(), of_seeds([comparison("base.direct", "direct-s15.direct", 0.3, 0.2, 0.4, 0.001)], pooled))
    assert (decision.adapter, decision.condition) == ("direct-s7", "direct.direct")
    assert decision.reason.endswith("; of its 2 seeds the lowest is promoted, direct-s7, whatever each of them scored")


def test_a_lucky_seed_promotes_nothing() -> None:
    lucky = [comparison("base.direct", "direct-s15.direct", 0.3, 0.2, 0.4, 0.001)]
    pooled = [comparison("base.direct", "direct.direct", 0.1, -0.02, 0.22, 0.2)]
    assert decide(PromoteConfig(), of_seeds(lucky, pooled)).adapter == "base"


def test_a_pool_and_a_single_training_compete() -> None:
    alone = [comparison("base.direct", "dialogue.assisted.teacher", 0.2, 0.1, 0.3, 0.001)]
    pooled = [
        comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01),
        comparison("direct.direct", "dialogue.assisted.teacher", 0.1, 0, 0.2, 0.1),
    ]
    assert decide(PromoteConfig(), of_seeds(alone, pooled)).adapter == "dialogue"


def test_only_what_is_named_may_be_promoted() -> None:
    alone = [comparison("base.direct", "dialogue.assisted.teacher", 0.2, 0.1, 0.3, 0.001)]
    pooled = [comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01)]
    assert decide(PromoteConfig(among=["direct.direct"]), of_seeds(alone, pooled)).condition == "direct.direct"
    nobody = decide(PromoteConfig(among=["direct.cot"]), of_seeds(alone, pooled))
    assert (nobody.adapter, nobody.reason) == ("base", "none of direct.cot is shown to be better than base.direct at n = 100")


def test_a_gain_is_told_whichever_way_it_was_compared() -> None:
    scores = of_seeds([], [comparison("direct.direct", "base.direct", -0.1, -0.18, -0.02, 0.01)])
    assert gain_of("direct.direct", "base.direct", scores).startswith(
        "direct.direct gains +10.0 points over base.direct (95 % interval +2.0 to +18.0"
    )
    assert gain_of("direct.cot", "base.direct", scores) == "direct.cot was not measured beside base.direct"


def test_the_baseline_may_be_a_pool_but_none_of_its_seeds() -> None:
    pooled = [
        comparison("base.direct", "direct.direct", 0.1, 0.02, 0.18, 0.01),
        comparison("direct.direct", "dialogue.assisted.teacher", 0.1, 0.01, 0.2, 0.01),
    ]
    assert decide(PromoteConfig(baseline="direct.direct"), of_seeds([], pooled)).adapter == "dialogue"
    reason = decide(PromoteConfig(baseline="direct-s7.direct"), of_seeds([], pooled)).reason
    assert reason == "the baseline direct-s7.direct is one of several seeds; name direct.direct"
