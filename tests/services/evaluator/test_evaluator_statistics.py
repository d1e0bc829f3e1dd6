import numpy as np
import pytest
from scipy import stats

from services.evaluator.stats import intervals, paired


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (10, 10), (131, 229), (1, 1)])
def test_wilson_equals_scipy(right: int, n: int) -> None:
    reference = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert intervals.wilson(right / n, n) == pytest.approx((reference.low, reference.high))


def test_proportion_by_hand() -> None:
    found = intervals.proportion("accuracy", [1.0] * 3 + [0.0])
    assert (found.value, found.stderr, found.n) == (0.75, pytest.approx((0.75 * 0.25 / 4) ** 0.5), 4)


def test_balanced_accuracy_is_the_mean_of_recalls() -> None:
    found = intervals.balanced_accuracy([1, 1, 1, 1, 1, 0, 1, 0], ["yes"] * 6 + ["no"] * 2)
    assert found is not None
    assert found.value == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert found.stderr == pytest.approx((5 / 36 / 6 + 1 / 4 / 2) ** 0.5 / 2)
    low_yes, _ = intervals.wilson(5 / 6, 6)
    low_no, _ = intervals.wilson(1 / 2, 2)
    assert found.low == pytest.approx(found.value - ((5 / 6 - low_yes) ** 2 + (1 / 2 - low_no) ** 2) ** 0.5 / 2)
    assert intervals.balanced_accuracy([1.0, 0.0], ["yes", "yes"]) is None


@pytest.mark.parametrize("n", [40, 400])
def test_bootstrap_equals_resampling_question_by_question(n: int) -> None:
    """Few questions are drawn, many are counted by value."""
    values = np.random.default_rng(0).choice([0.0, 0.25, 2 / 3, 1.0], size=n)
    ours = intervals.bootstrap_means(values, seed=1)
    plain = values[np.random.default_rng(2).integers(n, size=(intervals.RESAMPLES, n))].mean(axis=1)
    assert ours.shape == (intervals.RESAMPLES,)
    assert stats.ks_2samp(np.round(ours, 9), np.round(plain, 9)).pvalue > 0.01
    assert ours.std() == pytest.approx(values.std() / n**0.5, rel=0.03)


def test_bootstrap_is_seeded() -> None:
    values = [0.1, 0.4, 0.9, 0.3, 0.77, 0.61, 0.05]
    assert intervals.mean("f1", values, 5) == intervals.mean("f1", values, 5)
    assert intervals.mean("f1", values, 5) != intervals.mean("f1", values, 6)


def test_discordant_counts() -> None:
    assert paired.discordant([1, 1, 0, 0, 1], [1, 0, 1, 1, 0]) == (2, 2)
    assert paired.discordant([0, 0], [1, 0]) == (0, 1)


def test_mcnemar_by_hand() -> None:
    assert paired.mcnemar(0, 5) == pytest.approx(2 / 32)
    assert paired.mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert paired.mcnemar(3, 3) == 1.0
    assert paired.mcnemar(0, 0) == 1.0


def test_holm_by_hand() -> None:
    assert paired.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])  # 3 * .01, 2 * .03, then no less than the one before
    assert paired.holm([0.6, 0.5]) == [1.0, 1.0]
    assert paired.holm([]) == []


def test_needed_n_equals_the_published_example() -> None:
    # powerandsamplesize.com's example of Connor's formula: p01 = .45, p10 = .05, 80 % power, two-sided 5 %: n = 23
    assert paired.needed_n(5, 45, 100) == 23


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "adjusted", "expected"),
    [
        (2, 14, 0.004, 0.012, "b is better (p = 0.012)"),
        (14, 2, 0.00001, 0.0002, "a is better (p < 0.001)"),
        (4, 4, 1.0, 1.0, "no difference shown at n = 36; the measured difference is 0, so no sample size is computed"),
        (5, 8, 0.58, 1.0, "no difference shown at n = 36; 80 % power for a difference this large would need n = 406"),
        (2, 10, 0.039, 0.39, "no difference shown at n = 36: p = 0.039 alone, p = 0.39 after Holm's correction for all comparisons"),
    ],
)
def test_verdicts(only_a: int, only_b: int, p: float, adjusted: float, expected: str) -> None:
    assert paired.verdict("a", "b", only_a, only_b, 36, p, adjusted) == expected
