from collections.abc import Mapping

import pytest

from askback.contracts.measures import Asking, ConditionScore, Cost, Metric
from askback.contracts.records import Condition
from services.evaluator.scoring.gains import counterpart, with_gains


def number(name: str, value: float) -> Metric:
    return Metric(name=name, value=value, stderr=0.0, low=value, high=value, n=20)


def told(condition: Condition, right: Mapping[str, list[float]], usd: float | None = None) -> ConditionScore:
    metric = number("accuracy", sum(right[condition.name]) / 20)
    cost = None if usd is None else _cost(usd)
    asking = Asking(rows=20, questions_per_row=number("questions_per_row", 1.5)) if condition.mode == "assisted" else None
    return ConditionScore(condition=condition, metrics=[metric], unparsable=0, failed=0, cost=cost, asking=asking)


def _cost(usd: float) -> Cost:
    tokens = number("prompt_tokens", 50)
    return Cost(prompt_tokens=tokens, completion_tokens=tokens, usd=number("usd", usd), latency_p50_s=0.1, latency_p95_s=0.2)


DIRECT = Condition(adapter="talk", mode="direct")
SILENT = Condition(adapter="talk", mode="assisted", resolver="none")
TEACHER = Condition(adapter="talk", mode="assisted", resolver="teacher")
GOLD = Condition(adapter="talk", mode="assisted", resolver="gold")
OTHER = Condition(adapter="lone", mode="assisted", resolver="teacher")
COUNTS = {DIRECT.name: 8, SILENT.name: 9, TEACHER.name: 14, GOLD.name: 20, OTHER.name: 5}
RIGHT = {name: [1.0] * count + [0.0] * (20 - count) for name, count in COUNTS.items()}


def gained(*conditions: Condition, usd: Mapping[str, float] | None = None) -> dict[str, Asking | None]:
    scores = [told(condition, RIGHT, (usd or {}).get(condition.name)) for condition in conditions]
    found = with_gains(scores, RIGHT, 0)
    assert [score.condition for score in found] == list(conditions)
    return {score.condition.name: score.asking for score in found}


def test_the_counterpart_has_the_same_adapter_and_mode_without_answers_else_direct() -> None:
    assert counterpart(TEACHER, {DIRECT.name: 0, SILENT.name: 0}) == "talk.assisted.none"
    assert counterpart(TEACHER, {DIRECT.name: 0, TEACHER.name: 0}) == "talk.direct"
    assert counterpart(SILENT, {DIRECT.name: 0, SILENT.name: 0}) == "talk.direct"
    assert counterpart(OTHER, {DIRECT.name: 0, SILENT.name: 0, OTHER.name: 0}) == ""


def test_a_gain_by_hand() -> None:
    asking = gained(DIRECT, TEACHER)[TEACHER.name]
    assert asking is not None and asking.gain is not None
    assert (asking.against, asking.gain.a, asking.gain.b, asking.gain.metric) == ("talk.direct", "talk.direct", "talk.assisted.teacher", "accuracy")
    assert asking.gain.difference == pytest.approx(0.3)
    assert asking.gain.p_value == asking.gain.p_adjusted == pytest.approx(2 / 2**6)


def test_gains_are_corrected_among_themselves() -> None:
    found = gained(DIRECT, SILENT, TEACHER, GOLD)
    gains = {name: asking.gain for name, asking in found.items() if asking and asking.gain}
    assert {name: gain.a for name, gain in gains.items()} == {
        "talk.assisted.none": "talk.direct",
        "talk.assisted.teacher": "talk.assisted.none",
        "talk.assisted.gold": "talk.assisted.none",
    }
    assert gains["talk.assisted.gold"].p_adjusted == pytest.approx(3 * 2 / 2**11)
    assert gains["talk.assisted.teacher"].p_adjusted == pytest.approx(2 * 2 / 2**5)


def test_a_point_costs_what_is_paid_beyond_the_counterpart() -> None:
    asking = gained(DIRECT, TEACHER, usd={DIRECT.name: 0.001, TEACHER.name: 0.004})[TEACHER.name]
    assert asking is not None and asking.usd_per_point == pytest.approx(0.003 / 30)
    unpaid = gained(DIRECT, TEACHER, usd={TEACHER.name: 0.004})[TEACHER.name]
    assert unpaid is not None and unpaid.usd_per_point is None


def test_without_a_positive_gain_a_point_has_no_price() -> None:
    direct = Condition(adapter="lone", mode="direct")
    right = {OTHER.name: RIGHT[OTHER.name], direct.name: RIGHT[DIRECT.name]}
    asking = with_gains([told(direct, right, 0.0), told(OTHER, right, 0.004)], right, 0)[1].asking
    assert asking is not None and asking.gain is not None and asking.gain.difference < 0
    assert asking.usd_per_point is None


def test_without_a_counterpart_there_is_no_gain() -> None:
    asking = gained(DIRECT, OTHER)[OTHER.name]
    assert asking is not None and (asking.against, asking.gain) == ("", None)
    assert gained(DIRECT)[DIRECT.name] is None
    assert with_gains([], {}, 0) == []
