import pytest

from askback.contracts.records import Prediction, Usage
from services.evaluator.metrics.cost import cost


def said(usage: Usage, error: str | None = None) -> Prediction:
    return Prediction(sample_id="q", answer=None, usage=usage, error=error)


def test_cost_by_hand() -> None:
    spent = [Usage(prompt_tokens=10 * i, completion_tokens=i, cost_usd=i / 100, latency_s=float(i)) for i in (1, 2, 3)]
    lost = [said(Usage()), said(Usage(prompt_tokens=999, latency_s=99.0), "UpstreamUnavailable: gone")]
    found = cost([*map(said, spent), *lost], 0)
    assert found is not None
    assert (found.prompt_tokens.value, found.completion_tokens.value, found.usd.value) == pytest.approx((20, 2, 0.02))
    assert found.prompt_tokens.stderr == pytest.approx((200 / 3 / 3) ** 0.5)
    assert 10 <= found.prompt_tokens.low < 20 < found.prompt_tokens.high <= 30
    assert (found.latency_p50_s, found.latency_p95_s) == pytest.approx((2.0, 2.9))
    assert {metric.n for metric in (found.prompt_tokens, found.completion_tokens, found.usd)} == {3}


def test_local_answers_are_free_and_one_answer_has_its_own_percentiles() -> None:
    found = cost([said(Usage(prompt_tokens=5, latency_s=0.5))], 0)
    assert found is not None
    assert (found.usd.value, found.usd.high, found.latency_p50_s, found.latency_p95_s) == (0.0, 0.0, 0.5, 0.5)


def test_nothing_told_no_cost() -> None:
    assert cost([said(Usage()), said(Usage(prompt_tokens=3), "boom")], 0) is None
    assert cost([], 0) is None
