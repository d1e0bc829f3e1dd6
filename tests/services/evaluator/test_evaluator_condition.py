"""One condition's scores: every field filled."""

import pytest

from askback.contracts.records import Condition, Draft, Exchange, Prediction, Sample, Usage
from askback.tasks import task_named
from services.evaluator.metrics.benchmark import decomposition_sari
from services.evaluator.scoring.conditions import condition_score

TASK = task_named("strategyqa")
CONDITION = Condition(adapter="base", mode="assisted", resolver="teacher")
SAMPLES = [
    Sample(id=f"q{i}", task="strategyqa", question="Is it old?", answer=gold, decomposition=["What is it?", "Is #1 old?"])
    for i, gold in enumerate(["yes", "no", "no", "yes", "no"])
]
USAGE = Usage(prompt_tokens=9, completion_tokens=2, latency_s=0.5)


def drafted(i: int, answer: str | None, error: str | None = None) -> Prediction:
    draft = Draft(answer="yes", questions=["What is it?", "Is #1 old?"])
    said = [Exchange(question="What is it?", answer="A castle.")]
    return Prediction(sample_id=f"q{i}", answer=answer, p_yes=0.5, draft=draft, exchanges=said, usage=USAGE, error=error)


def test_every_field_is_filled() -> None:
    said = [drafted(0, "yes"), drafted(1, "yes"), drafted(2, None), drafted(3, "maybe"), drafted(4, "no", "UpstreamUnavailable: gone")]
    found = condition_score(TASK, CONDITION, SAMPLES, said, 0)
    assert {metric.name: metric.value for metric in found.metrics} == pytest.approx(
        {"accuracy": 0.2, "balanced_accuracy": 0.25, "brier": 0.25, "sari": 4 / 5}  # the failed one counts 0
    )
    assert (found.unparsable, found.failed, found.yes_rate) == (2, 1, 1.0)
    assert {cell: count for cell, count in found.confusion.items() if count} == {
        "yes_yes": 1,
        "yes_unparsable": 1,
        "no_yes": 1,
        "no_unparsable": 1,
        "no_failed": 1,
    }
    assert len(found.confusion) == 8
    assert found.asking is not None and found.asking.rows == 4
    assert found.cost is not None and found.cost.latency_p95_s == 0.5
    assert found.calibration is not None and found.slices


def test_without_drafts_or_gold_steps_no_sari() -> None:
    said = [drafted(i, "yes") for i in range(5)]
    bare = [sample.model_copy(update={"decomposition": []}) for sample in SAMPLES]
    direct = [one.model_copy(update={"draft": None}) for one in said]
    for samples, predictions in ((bare, said), (SAMPLES, direct)):
        found = condition_score(TASK, CONDITION, samples, predictions, 0)
        assert "sari" not in {metric.name for metric in found.metrics}


def test_sari_by_hand() -> None:
    """Source `a b`, said `a c`, gold `a d`: keep a (F1 1), add c for d (0), delete b (1); bigrams: keep 0/0 = 1, add 0, delete 1; then all 0/0."""
    sample = Sample(id="q", task="strategyqa", question="a b", answer="yes", decomposition=["a", "d"])
    said = Prediction(sample_id="q", answer="yes", draft=Draft(answer="yes", questions=["a", "c"]))
    assert decomposition_sari(sample, said) == pytest.approx((2 / 3 + 2 / 3 + 1 + 1) / 4)
    assert decomposition_sari(sample, said.model_copy(update={"draft": None})) == 0.0


@pytest.mark.parametrize("p_yes", [0.0, 1.0, None])
def test_the_ends_are_probabilities(p_yes: float | None) -> None:
    said = [drafted(i, "yes").model_copy(update={"p_yes": p_yes}) for i in range(5)]
    found = condition_score(TASK, CONDITION, SAMPLES, said, 0)
    assert ("brier" in {metric.name for metric in found.metrics}) is (p_yes is not None)
