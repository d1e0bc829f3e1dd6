import pytest

from askback.contracts.records import Prediction, Sample
from askback.tasks import task_named
from services.evaluator.metrics.benchmark import brier, hotpot_values, is_right

GOLD = [("Paris", 0), ("Seine", 2)]


def hotpot(answer: str | None, facts: list[tuple[str, int]], gold: str = "The Eiffel Tower", error: str | None = None) -> list[float]:
    sample = Sample(id="h", task="hotpotqa", question="?", answer=gold, supporting_facts=GOLD)
    values = hotpot_values(sample, Prediction(sample_id="h", answer=answer, supporting_facts=facts, error=error))
    return [values[name] for name in ("answer_em", "answer_f1", "supporting_fact_em", "supporting_fact_f1", "joint_em", "joint_f1")]


# Worked by hand from the official definitions. Fact precision and recall: both 1/2 for [Paris 0, Louvre 1], 1 and 1/2 for [Paris 0].
HAND = [
    ("eiffel tower!", GOLD, "The Eiffel Tower", [1, 1, 1, 1, 1, 1]),
    ("an Eiffel  Tower", list(reversed(GOLD)), "The Eiffel Tower", [1, 1, 1, 1, 1, 1]),
    ("tower", [("Paris", 0)], "The Eiffel Tower", [0, 2 / 3, 0, 2 / 3, 0, 2 * 1 * 0.25 / 1.25]),  # answer P 1 R 1/2, joint P 1 R 1/4
    ("the big Eiffel Tower", [("Paris", 0), ("Louvre", 1)], "The Eiffel Tower", [0, 0.8, 0, 0.5, 0, 2 * (1 / 3) * 0.5 / (1 / 3 + 0.5)]),
    ("Louvre", GOLD, "The Eiffel Tower", [0, 0, 1, 1, 0, 0]),
    ("Eiffel Tower", [], "The Eiffel Tower", [1, 1, 0, 0, 0, 0]),
    ("yes it is", GOLD, "yes", [0, 0, 1, 1, 0, 0]),  # one token is shared, but a closed answer counts whole or not at all
    ("no", GOLD, "no way", [0, 0, 1, 1, 0, 0]),
    ("Yes.", GOLD, "yes", [1, 1, 1, 1, 1, 1]),
    ("tower tower", GOLD, "Eiffel tower", [0, 0.5, 1, 1, 0, 0.5]),  # a token counts as often as both sides have it
    (None, GOLD, "The Eiffel Tower", [0, 0, 1, 1, 0, 0]),
    ("Eiffel Tower", [*GOLD, ("Paris", 0)], "The Eiffel Tower", [1, 1, 1, 1, 1, 1]),  # facts are a set
]


@pytest.mark.parametrize(("answer", "facts", "gold", "expected"), HAND)
def test_hotpot_values_match_the_table(answer: str | None, facts: list[tuple[str, int]], gold: str, expected: list[float]) -> None:
    assert hotpot(answer, facts, gold) == pytest.approx(expected)


def test_a_failed_hotpot_prediction_is_wrong_in_every_metric() -> None:
    assert hotpot("Eiffel Tower", GOLD, error="UpstreamUnavailable: gone") == [0.0] * 6


def test_unparsable_and_failed_answers_are_wrong() -> None:
    sample, task = Sample(id="q", task="strategyqa", question="?", answer="yes"), task_named("strategyqa")
    said = [Prediction(sample_id="q", answer=a, error=e) for a, e in (("yes", None), ("no", None), (None, None), ("yes", "boom"))]
    assert [is_right(task, sample, prediction) for prediction in said] == [True, False, False, False]


def test_brier_is_the_squared_error_of_p_yes() -> None:
    yes, no = (Sample(id="q", task="strategyqa", question="?", answer=answer) for answer in ("yes", "no"))
    prediction = Prediction(sample_id="q", answer="yes", p_yes=0.7)
    assert brier(yes, prediction) == pytest.approx(0.09)
    assert brier(no, prediction) == pytest.approx(0.49)
    assert brier(yes, Prediction(sample_id="q", answer="yes")) is None
