"""How often the 95 % intervals hold the truth, by simulation: within two points of 95 in 100."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from services.evaluator.stats import crossed, intervals, paired, target

FEWEST, MOST = 0.93, 0.97
N = 229
Tables = NDArray[np.float64]
"""Shape (trials, questions, seeds)."""


@pytest.mark.parametrize("n", [64, N, 7405])
def test_wilsons_interval(n: int) -> None:
    """Without noise: the probability of every count, over accuracies of 40 to 95 %."""
    ends = np.array([intervals.wilson(count / n, n) for count in range(n + 1)])
    shares = np.linspace(0.4, 0.95, 56)
    held = [stats.binom.pmf(np.arange(n + 1), n, p)[(ends[:, 0] <= p) & (p <= ends[:, 1])].sum() for p in shares]
    assert min(held) >= FEWEST and np.mean(held) == pytest.approx(0.95, abs=0.005)


def test_balanced_accuracy() -> None:
    draw, trials, hits = np.random.default_rng(1), 1500, 0
    gold = ["yes"] * 107 + ["no"] * 122
    for _ in range(trials):
        found = intervals.balanced_accuracy((draw.random(N) < np.repeat([0.75, 0.5], [107, 122])).astype(float).tolist(), gold)
        assert found is not None
        hits += found.low <= 0.625 <= found.high
    assert FEWEST <= hits / trials <= MOST


@pytest.mark.parametrize("kind", ["f1", "brier"])
def test_bootstrap_of_a_mean(kind: str) -> None:
    """F1 has few values and heaps at 0 and 1, Brier scores have many; the truth is that of a large population."""
    draw, trials, hits = np.random.default_rng(2), 600, 0
    population = (
        draw.choice([0, 0.4, 0.5, 2 / 3, 0.8, 1], 10**6, p=[0.5, 0.05, 0.05, 0.1, 0.05, 0.25]) if kind == "f1" else draw.beta(0.6, 1.4, 10**6)
    )
    n = N if kind == "f1" else 64
    for trial in range(trials):
        found = intervals.mean(kind, draw.choice(population, n).tolist(), trial)
        hits += found.low <= population.mean() <= found.high
    assert FEWEST <= hits / trials <= MOST


@cache
def _bootstrap(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    a, b = np.zeros(n), np.zeros(n)
    a[:only_a], b[only_a : only_a + only_b] = 1, 1
    return paired.bootstrap_difference(a.tolist(), b.tolist(), only_a * n + only_b)


@pytest.mark.parametrize(("n", "psi_a", "psi_b"), [(N, 0.15, 0.25), (N, 0.2, 0.2), (N, 0.03, 0.06), (64, 0.1, 0.3)])
def test_paired_bootstrap(n: int, psi_a: float, psi_b: float) -> None:
    tables = np.random.default_rng(3).multinomial(n, [psi_a, psi_b, 1 - psi_a - psi_b], size=3000)
    ends = np.array([_bootstrap(int(only_a), int(only_b), n) for only_a, only_b, _ in tables])
    assert FEWEST <= np.mean((ends[:, 0] <= psi_b - psi_a + 1e-12) & (psi_b - psi_a <= ends[:, 1] + 1e-12)) <= MOST


@pytest.mark.parametrize(("n", "psi_a"), [(N, 0.15), (N, 0.02), (36, 0.15)])
def test_the_target_is_rejected_5_times_in_100_when_it_is_true(n: int, psi_a: float) -> None:
    tables = np.random.default_rng(4).multinomial(n, [psi_a, psi_a + 0.1, 0.9 - 2 * psi_a], size=4000)
    rejected = np.mean([target.target_p(int(only_a), int(only_b), n) < 0.05 for only_a, only_b, _ in tables])
    assert 1 - MOST <= rejected <= 1 - FEWEST


def answers(draw: np.random.Generator, skill: float, difficulty: NDArray[np.float64], luck: NDArray[np.float64]) -> Tables:
    """Right or wrong where questions differ in `difficulty`, trainings in their `luck`, and each question suits each training differently."""
    own = draw.standard_normal((*difficulty.shape[:2], luck.shape[2]))
    return np.asarray(draw.random(own.shape) < expit(skill + difficulty + luck + own), dtype=np.float64)


def truth(skill: float, spread: float) -> float:
    """Share right over all questions and trainings; `spread` is that of the logits."""
    return float(stats.norm.expect(lambda z: expit(skill + spread * z)))


def held(found: list[crossed.Estimate], true: float) -> float:
    return float(np.mean([low <= true <= high for low, high in (estimate.interval() for estimate in found)]))


LUCK, DIFFICULTY = 0.2, 2.0
"""Of the logits: trainings whose accuracies have a standard deviation of about 3 points."""
SPREAD = (LUCK**2 + DIFFICULTY**2 + 1) ** 0.5


@pytest.mark.parametrize(("n", "seeds", "skill"), [(N, 3, 0.4), (N, 5, 0.4), (64, 3, 0.4), (N, 3, 4.0)])
def test_a_pool_of_seeds(n: int, seeds: int, skill: float) -> None:
    """The interval for both questions and seeds holds; rows taken as independent, or questions alone, do not."""
    draw, trials = np.random.default_rng(5), 2000
    difficulty = DIFFICULTY * draw.standard_normal((trials, n, 1))
    tables = answers(draw, skill, difficulty, LUCK * draw.standard_normal((trials, 1, seeds)))
    found, true = [crossed.mean(table) for table in tables], truth(skill, SPREAD)
    ends = [estimate.share_interval() for estimate in found]
    assert FEWEST <= np.mean([low <= true <= high for low, high in ends]) <= MOST
    rows = [intervals.wilson(estimate.value, n * seeds) for estimate in found]
    assert np.mean([low <= true <= high for low, high in rows]) < 0.9


def two_families(seeds: tuple[int, int], shared: bool) -> tuple[Tables, Tables, float]:
    """`shared` is one training in two modes, so that its luck is the same in both."""
    draw, trials = np.random.default_rng(6), 2000
    difficulty = DIFFICULTY * draw.standard_normal((trials, N, 1))
    luck = [LUCK * draw.standard_normal((trials, 1, k)) if k > 1 else np.zeros((trials, 1, 1)) for k in seeds]
    a = answers(draw, 0.2, difficulty, luck[0])
    b = answers(draw, 0.8, difficulty, luck[0] if shared else luck[1])
    return a, b, truth(0.8, SPREAD) - truth(0.2, SPREAD if seeds[0] > 1 else (DIFFICULTY**2 + 1) ** 0.5)


@pytest.mark.parametrize("seeds", [(3, 3), (3, 5), (1, 3)])
def test_a_difference_of_families_with_seeds_of_their_own(seeds: tuple[int, int]) -> None:
    a, b, true = two_families(seeds, shared=False)
    assert FEWEST <= held([crossed.independent_difference(x, y) for x, y in zip(a, b, strict=True)], true) <= MOST


def test_a_difference_of_two_modes_of_one_family() -> None:
    a, b, true = two_families((3, 3), shared=True)
    found = [crossed.paired_difference(x, y) for x, y in zip(a, b, strict=True)]
    assert FEWEST <= held(found, true) <= MOST
    apart = [crossed.independent_difference(x, y) for x, y in zip(a, b, strict=True)]
    assert np.mean([estimate.variance for estimate in apart]) > 1.2 * np.mean([estimate.variance for estimate in found])


def test_rows_taken_as_independent_cover_too_little() -> None:
    """Naive pooling of three seeds: a paired interval over 3 x 229 rows."""
    a, b, true = two_families((3, 3), shared=False)
    rows = (b - a).reshape(len(a), -1)
    half = intervals.Z95 * rows.std(axis=1) / rows.shape[1] ** 0.5
    assert np.mean(np.abs(rows.mean(axis=1) - true) <= half) < 0.88


def test_no_difference_is_called_one_5_times_in_100() -> None:
    draw, trials = np.random.default_rng(7), 2000
    difficulty = DIFFICULTY * draw.standard_normal((trials, N, 1))
    a, b = (answers(draw, 0.4, difficulty, LUCK * draw.standard_normal((trials, 1, 3))) for _ in range(2))
    false = np.mean([crossed.independent_difference(x, y).p() < 0.05 for x, y in zip(a, b, strict=True)])
    assert 1 - MOST <= false <= 1 - FEWEST
