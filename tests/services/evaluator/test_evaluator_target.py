import pytest

from askback.contracts.measures import Comparison
from services.evaluator.scoring.comparisons import comparisons
from services.evaluator.stats import target
from services.evaluator.stats.paired import needed_n, still_needed_n


def compared(only_a: int, only_b: int, n: int) -> Comparison:
    a = [1.0] * only_a + [0.0] * (n - only_a)
    b = [0.0] * only_a + [1.0] * only_b + [0.0] * (n - only_a - only_b)
    return comparisons({"a": a, "b": b}, "accuracy", 0)[0]


@pytest.mark.parametrize(
    ("only_a", "only_b", "words"),
    [
        (10, 100, "+39.3 points against +10 to +15: above +10 is shown (p < 0.001); +15 lies outside the interval"),
        (20, 12, "-3.5 points against +10 to +15: below +10 is shown (p < 0.001); +15 lies outside the interval"),
        (20, 50, "+13.1 points against +10 to +15: neither above nor below +10 is shown (p = 0.38); +15 lies inside the interval"),
    ],
)
def test_against_the_target_in_words(only_a: int, only_b: int, words: str) -> None:
    assert target.against_target(compared(only_a, only_b, 229)) == words


def test_a_comparison_without_the_test_says_so() -> None:
    untested = compared(20, 50, 229).model_copy(update={"p_target": None})
    assert target.against_target(untested) == "+13.1 points against +10 to +15: not tested"


def test_the_target_met_exactly_is_not_rejected() -> None:
    assert target.target_p(10, 20, 100) == pytest.approx(1.0)


def test_all_wrong_against_all_right_is_finite() -> None:
    assert target.target_p(0, 30, 30) < 1e-6
    assert target.score_p(0, 0, 30, 0.0) == 1.0


def test_needed_n_is_none_where_nothing_is_measured_or_it_is_shown() -> None:
    assert compared(5, 8, 36).needed_n == needed_n(5, 8, 36) == 406
    assert compared(4, 4, 36).needed_n is None
    assert compared(2, 14, 36).needed_n is None
    assert still_needed_n(1, 6, 40, 0.125) == max(needed_n(1, 6, 40), 41)
