"""The statistics beside those of scipy and statsmodels on fixed cases."""

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from services.evaluator.stats import crossed, intervals, paired, target

PAIRS = [(0, 0), (0, 5), (1, 5), (7, 1), (20, 40), (16, 6), (41, 63), (300, 340)]
P_VALUES = [0.001, 0.2, 0.04, 0.04, 0.9, 0.0004, 1.0, 0.011, 0.012]


@pytest.mark.parametrize(("only_a", "only_b"), PAIRS)
def test_mcnemar_equals_statsmodels(only_a: int, only_b: int) -> None:
    assert paired.mcnemar(only_a, only_b) == pytest.approx(mcnemar([[50, only_a], [only_b, 50]], exact=True).pvalue, abs=1e-12)


@pytest.mark.parametrize(("only_a", "only_b"), PAIRS[1:])
def test_the_score_test_of_no_difference_is_mcnemars_without_correction(only_a: int, only_b: int) -> None:
    peer = mcnemar([[50, only_a], [only_b, 50]], exact=False, correction=False)
    assert target.score_p(only_a, only_b, 100 + only_a + only_b, 0.0) == pytest.approx(peer.pvalue, abs=1e-12)


def test_the_score_test_gives_the_published_interval() -> None:
    # complete response before and after consolidation therapy (Cavo et al. 2012): 59, 6, 16, 80; the R package contingencytables,
    # of Fagerland, Lydersen and Laake's book, prints Tango's interval as -0.0621 (-0.1240 to -0.0054)
    ends = [optimize.brentq(lambda d: target.score_p(16, 6, 161, d) - 0.05, *span) for span in ((-0.9, -0.0622), (-0.0621, 0.9))]
    assert ends == pytest.approx([-0.1240, -0.0054], abs=5e-5)


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(20, 40, 229), (60, 12, 229), (0, 30, 229), (3, 2, 36), (40, 0, 60)])
def test_the_score_test_has_the_likeliest_null(only_a: int, only_b: int, n: int) -> None:
    """The share of `only_a` under the null by maximising the likelihood numerically."""

    def loss(share: float) -> float:
        return -float(only_a * np.log(share) + only_b * np.log(share + 0.1) + (n - only_a - only_b) * np.log(1 - 2 * share - 0.1))

    share = optimize.minimize_scalar(loss, bounds=(1e-12, 0.45 - 1e-12), method="bounded", options={"xatol": 1e-12}).x
    z = (only_b - only_a - 0.1 * n) / (n * (2 * share + 0.1 - 0.01)) ** 0.5
    assert target.target_p(only_a, only_b, n) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-4, abs=1e-12)


def test_holm_equals_statsmodels() -> None:
    assert paired.holm(P_VALUES) == pytest.approx(multipletests(P_VALUES, method="holm")[1].tolist(), abs=1e-15)


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (10, 10), (131, 229), (4000, 7405)])
def test_wilson_equals_statsmodels(right: int, n: int) -> None:
    assert intervals.wilson(right / n, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)


def fixed_values(kind: str) -> tuple[list[float], list[float]]:
    draw = np.random.default_rng(11)
    if kind == "right or wrong":
        return (draw.random(229) < 0.55).astype(float).tolist(), (draw.random(229) < 0.66).astype(float).tolist()
    return draw.beta(0.5, 0.7, 300).tolist(), draw.beta(0.6, 0.7, 300).tolist()


@pytest.mark.parametrize("kind", ["right or wrong", "any number"])
def test_bootstrap_intervals_equal_scipys(kind: str) -> None:
    """To a fifteenth of a standard error, which is the noise of 10,000 resamples, or one step of a count."""
    a, b = fixed_values(kind)
    noise = max(np.std(np.subtract(b, a)) / len(a) ** 0.5 / 15, (1 / len(a) + 1e-9) * (kind == "right or wrong"))
    peer = stats.bootstrap((np.array(a), np.array(b)), _difference, paired=True, n_resamples=10_000, method="percentile", batch=500, rng=1)
    assert paired.bootstrap_difference(a, b, 0) == pytest.approx(tuple(peer.confidence_interval), abs=noise)
    alone = stats.bootstrap((np.array(a),), np.mean, n_resamples=10_000, method="percentile", batch=500, rng=1)
    found = intervals.mean("f1", a, 0)
    assert (found.low, found.high) == pytest.approx(tuple(alone.confidence_interval), abs=noise)
    assert found.stderr == pytest.approx(alone.standard_error, rel=0.03)


def _difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean(b, axis=axis) - np.mean(a, axis=axis))


@pytest.mark.parametrize(("psi_a", "psi_b"), [(0.1, 0.3), (0.15, 0.25), (0.2, 0.24)])
def test_needed_n_has_80_percent_power(psi_a: float, psi_b: float) -> None:
    """Power of McNemar's test, which Connor's formula is for, in tables of the size that it names; the exact test has a little less."""
    n = paired.needed_n(round(10_000 * psi_a), round(10_000 * psi_b), 10_000)
    only_a, only_b, _ = np.random.default_rng(2).multinomial(n, [psi_a, psi_b, 1 - psi_a - psi_b], size=20_000).T
    assert np.mean(np.abs(only_b - only_a) > intervals.Z95 * np.sqrt(only_a + only_b)) == pytest.approx(0.8, abs=0.03)  # counts are coarse at n = 77
    exact = 2 * stats.binom.cdf(np.minimum(only_a, only_b), only_a + only_b, 0.5)
    assert 0.74 < np.mean(exact < 0.05) < 0.81


def test_mean_squares_equal_statsmodels() -> None:
    """Cochran's Q is n (k - 1) times the seeds' part of the sum of squares within questions."""
    n, k = 40, 3
    table = (np.random.default_rng(4).random((n, k)) < [0.4, 0.6, 0.7]).astype(float)
    seeds, rest = crossed.seed_parts(table)
    ours = n * (k - 1) * seeds / (seeds + (n - 1) * rest)
    assert ours == pytest.approx(cochrans_q(table).statistic)
