"""Our probabilities against scipy's."""

import pytest
from scipy import special, stats

from services.evaluator.stats.distributions import beta_cdf, coin_p, normal_cdf, t_p, t_quantile

TIGHT = {"rel": 1e-11, "abs": 1e-300}
DFS = [1.0, 1.5, 2.0, 3.7, 10.0, 47.3, 228.0, 5e3, 7_404.0]


@pytest.mark.parametrize("z", [-37.0, -8.0, -1.96, -0.3, 0.0, 0.3, 1.96, 8.0])
def test_normal(z):
    assert normal_cdf(z) == pytest.approx(special.ndtr(z), **TIGHT)


@pytest.mark.parametrize("tosses", [1, 2, 7, 48, 229, 3_700, 7_405])
def test_coin(tosses):
    for heads in {0, 1, tosses // 10, tosses // 3, tosses // 2, (tosses + 1) // 2, tosses - tosses // 20, tosses}:
        assert coin_p(heads, tosses) == pytest.approx(stats.binomtest(heads, tosses, 0.5).pvalue, **TIGHT)


def test_no_toss_shows_nothing():
    assert coin_p(0, 0) == 1.0


@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("t", [0.0, 1e-6, 0.2, 1.0, 1.96, 3.3, 12.7, 60.0])
def test_student(t, df):
    theirs = 2 * special.stdtr(df, -t)
    assert t_p(t, df) == t_p(-t, df) == pytest.approx(theirs, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("p", [1e-6, 0.05, 0.5, 0.999])
def test_quantiles(p, df):
    assert t_quantile(p, df) == pytest.approx(special.stdtrit(df, 1 - p / 2), rel=1e-8)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (3, 0.5), (200, 0.5), (0.5, 200), (40, 60), (2000, 1500)])
def test_beta(a, b):
    for x in (0.0, 1e-9, 0.1, 0.5, 0.58, 0.9, 1 - 1e-9, 1.0):
        assert beta_cdf(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-15)
