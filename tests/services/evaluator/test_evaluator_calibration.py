import numpy as np
import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Prediction, Sample
from services.evaluator.stats.calibration import calibration
from services.evaluator.stats.intervals import wilson


def rows(told: list[tuple[float | None, str]]) -> tuple[list[Sample], list[Prediction]]:
    samples = [Sample(id=f"q{i}", task="strategyqa", question="?", answer=gold) for i, (_, gold) in enumerate(told)]
    return samples, [Prediction(sample_id=f"q{i}", answer="yes", p_yes=p) for i, (p, _) in enumerate(told)]


def test_by_hand() -> None:
    samples, predictions = rows([(0.05, "no"), (0.1, "yes"), (0.19, "no"), (0.9, "yes"), (1.0, "yes"), (1.0, "no"), (None, "yes")])
    found = calibration(samples, predictions, 0)
    assert found is not None
    assert [(part.low, part.high, part.gold_yes.n) for part in found.bins] == [(0.0, 0.1, 1), (0.1, 0.2, 2), (0.9, 1.0, 3)]
    assert [part.p_yes for part in found.bins] == pytest.approx([0.05, 0.145, 2.9 / 3])
    assert [part.gold_yes.value for part in found.bins] == pytest.approx([0, 0.5, 2 / 3])
    assert (found.bins[1].gold_yes.low, found.bins[1].gold_yes.high) == pytest.approx(wilson(0.5, 2))
    assert found.expected_error == pytest.approx((0.05 + 2 * 0.355 + 3 * 0.3) / 6)
    assert (found.brier.value, found.brier.n) == (pytest.approx((0.05**2 + 0.9**2 + 0.19**2 + 0.1**2 + 0 + 1) / 6), 6)
    assert found.brier.low < found.brier.value < found.brier.high


@pytest.mark.parametrize("tenth", range(10))
def test_a_bin_holds_its_lower_end(tenth: int) -> None:
    found = calibration(*rows([(tenth / 10, "yes")]), 0)
    assert found is not None and (found.bins[0].low, found.bins[0].high) == (tenth / 10, (tenth + 1) / 10)


def test_the_truth_is_calibrated_and_its_opposite_is_not() -> None:
    draw = np.random.default_rng(0)
    said = draw.random(4000)
    honest = [(float(p), "yes" if draw.random() < p else "no") for p in said]
    good, bad = calibration(*rows(honest), 0), calibration(*rows([(1 - p, gold) for p, gold in honest]), 0)
    assert good is not None and bad is not None
    assert good.expected_error < 0.03 and bad.expected_error > 0.45
    assert good.brier.low < 1 / 6 < good.brier.high  # the mean of p (1 - p) over [0, 1]


def test_failed_rows_and_rows_without_a_probability_do_not_count() -> None:
    samples, predictions = rows([(0.7, "yes"), (0.2, "yes")])
    failed = predictions[1].model_copy(update={"error": "UpstreamUnavailable: gone"})
    found = calibration(samples, [predictions[0], failed], 0)
    assert found is not None and found.brier.n == 1
    assert calibration(*rows([(None, "yes")]), 0) is None


@pytest.mark.parametrize("p", [1.5, -0.1, float("nan"), float("inf")])
def test_what_is_no_probability_is_named(p: float) -> None:
    samples, predictions = rows([(0.5, "yes")])
    with pytest.raises(InvalidInput, match="id 'q0': p_yes is"):
        calibration(samples, [predictions[0].model_copy(update={"p_yes": p})], 0)
