import numpy as np
import pytest
from scipy import stats

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Condition
from services.evaluator.scoring.pooling import pooled
from services.evaluator.stats import crossed

N = 120


def trained(family: str, *seeds: int | None, mode: str = "direct", resolver: str = "none") -> list[Condition]:
    return [Condition(adapter=f"{family}-s{seed}", mode=mode, resolver=resolver, family=family, seed=seed) for seed in seeds]


def answers(conditions: list[Condition], share: float, start: int = 0) -> dict[str, list[float]]:
    draw = np.random.default_rng(start)
    return {condition.name: (draw.random(N) < share).astype(float).tolist() for condition in conditions}


BASE = Condition(adapter="base", mode="direct")
DIRECT = trained("direct", 13, 14, 15)
TALK = trained("dialogue", 13, 14, 15, mode="assisted", resolver="teacher")
ALONE = trained("direct", 13, mode="assisted", resolver="teacher")
EVERY = [BASE, *TALK, *DIRECT, *ALONE]
RIGHT = answers([BASE], 0.5) | answers(DIRECT, 0.48, 1) | answers(TALK, 0.8, 2) | answers(ALONE, 0.55, 3)


def test_a_mean_over_questions_and_seeds_by_hand() -> None:
    """Means of questions 1, 1/2, 1/2, 0 and of seeds 3/4, 1/4: MS_q = 1/3, MS_s = 1/2, MS_qs = 1/6."""
    table = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], dtype=float)
    found = crossed.mean(table)
    variance = (1 / 3 + 1 / 2 - 1 / 6) / 8
    assert (found.value, found.n) == (0.5, 4)
    assert found.variance == pytest.approx(variance)
    assert found.df == pytest.approx((1 / 3 + 1 / 2 - 1 / 6) ** 2 / ((1 / 3) ** 2 / 3 + (1 / 2) ** 2 / 1 + (1 / 6) ** 2 / 3))
    assert found.p(0.3) == pytest.approx(2 * stats.t.sf(0.2 / variance**0.5, found.df))
    half = stats.t.ppf(0.975, found.df) * variance**0.5
    assert found.interval() == pytest.approx((max(-1, 0.5 - half), min(1, 0.5 + half)))


def test_one_seed_is_questions_alone() -> None:
    values = (np.random.default_rng(3).random(50) < 0.6).astype(float)
    found = crossed.mean(values[:, None])
    assert found.variance == pytest.approx(values.var(ddof=1) / 50)
    assert found.df == 49
    difference = crossed.independent_difference(np.zeros((50, 1)), values[:, None])
    peer = stats.ttest_1samp(values, 0.5)
    assert difference.p(0.5) == pytest.approx(peer.pvalue)
    assert difference.interval() == pytest.approx((peer.confidence_interval().low, peer.confidence_interval().high))


def test_equal_seeds_leave_no_less_than_the_questions_spread() -> None:
    """A seeds' part below that of chance counts as none."""
    table = np.tile((np.random.default_rng(4).random((50, 1)) < 0.6).astype(float), (1, 3))
    assert crossed.mean(table).variance == pytest.approx(table[:, 0].var(ddof=1) / 50)
    swapped = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]], dtype=float)
    assert crossed.mean(swapped).variance == pytest.approx(swapped.mean(axis=1).var(ddof=1) / 5)


def test_the_seeds_of_one_side_do_not_make_up_for_the_other() -> None:
    """The seeds of `near` are as equal as can be, less far apart than by chance, which takes nothing off what those of `far` add."""
    draw = np.random.default_rng(8)
    near = draw.permuted(np.tile([1.0, 0.0], (60, 1)), axis=1)
    near = np.vstack([near, near[:, ::-1]])
    far = (draw.random((120, 2)) < [0.4, 0.6]).astype(float)
    seeds, rest = crossed.seed_parts(far)
    questions = (far.mean(axis=1) - near.mean(axis=1)).var(ddof=1) / 120
    assert crossed.seed_parts(near)[0] == 0
    assert crossed.independent_difference(near, far).variance == pytest.approx(questions + seeds - rest)


def test_the_spread_of_seeds_alone_is_the_least() -> None:
    """Every question has one right answer of two, so that questions do not differ at all."""
    far = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=float)
    found = crossed.mean(far)
    assert (found.question_variance, found.variance, found.df) == (0, pytest.approx(crossed.seed_parts(far)[0]), 1)


def test_seeds_far_apart_weigh_with_their_own_degrees_of_freedom() -> None:
    found = crossed.mean(np.tile([1.0, 0.0, 0.0], (500, 1)))
    assert found.variance == pytest.approx(np.var([1, 0, 0], ddof=1) / 3)
    assert found.df == pytest.approx(2)


def test_no_spread_at_all_is_finite() -> None:
    found = crossed.mean(np.ones((10, 3)))
    assert found.share_interval() == (pytest.approx(10 / (10 + found.quantile**2)), 1.0)
    assert (found.p(1.0), found.p(0.0)) == (1.0, pytest.approx(2 / 2**10))
    assert crossed.mean(np.ones((1, 3))).p(0.0) == 1.0


def test_a_share_interval_stays_within_0_and_1() -> None:
    table = np.ones((30, 3))
    table[0, 0] = 0
    low, high = crossed.mean(table).share_interval()
    assert 0.8 < low < 89 / 90 < high <= 1


def test_pools_and_their_pairs() -> None:
    scores, compared = pooled(EVERY, RIGHT, "accuracy")
    assert [(score.name, score.seeds, len(score.conditions)) for score in scores] == [("dialogue.assisted.teacher", 3, 3), ("direct.direct", 3, 3)]
    assert scores[1].conditions == ["direct-s13.direct", "direct-s14.direct", "direct-s15.direct"]
    means = [float(np.mean(RIGHT[name])) for name in scores[0].conditions]
    assert scores[0].metric.value == pytest.approx(np.mean(means))
    assert scores[0].seed_stderr == pytest.approx(np.std(means, ddof=1))
    assert (scores[0].metric.name, scores[0].metric.n) == ("accuracy", N)
    assert [(c.a, c.b, c.seeds) for c in compared] == [
        ("base.direct", "dialogue.assisted.teacher", 3),
        ("base.direct", "direct.direct", 3),
        ("dialogue.assisted.teacher", "direct.direct", 3),
        ("dialogue.assisted.teacher", "direct-s13.assisted.teacher", 3),
        ("direct.direct", "direct-s13.assisted.teacher", 3),
    ]


def test_pooled_comparisons_are_corrected_among_themselves() -> None:
    _, compared = pooled(EVERY, RIGHT, "accuracy")
    raw = sorted(c.p_value for c in compared)
    best = min(compared, key=lambda c: c.p_value)
    assert best.p_adjusted == pytest.approx(5 * raw[0])
    assert all(c.p_adjusted >= c.p_value for c in compared)
    assert all(c.low < c.difference < c.high for c in compared)


def test_verdicts_say_seeds_and_questions() -> None:
    _, compared = pooled(EVERY, RIGHT, "accuracy")
    words = {(c.a, c.b): c.verdict for c in compared}
    assert words["base.direct", "dialogue.assisted.teacher"] == "dialogue.assisted.teacher is better (p < 0.001, n = 120 and 3 seeds)"
    single = words["dialogue.assisted.teacher", "direct-s13.assisted.teacher"]
    assert single.endswith("; direct-s13.assisted.teacher is one training, whose choice of seed is not counted")
    near = next(c for c in compared if (c.a, c.b) == ("base.direct", "direct.direct"))
    expected = f"no difference shown at n = 120 and 3 seeds; 80 % power for a difference this large would need n = {near.needed_n} with as many seeds"
    assert near.verdict == expected
    assert near.needed_n is not None and near.needed_n > 120


def test_needed_n_by_hand() -> None:
    """2.8016 standard errors is 80 % power: here the questions' part of 0.0016 must fall to what the seeds leave of (0.1 / 2.8016)^2."""
    found = crossed.Estimate(value=0.1, variance=0.0018, df=50, question_variance=0.0016, n=100)
    assert found.needed_n() == int(np.ceil(0.16 / ((0.1 / 2.801585) ** 2 - 0.0002)))
    assert crossed.Estimate(value=0.1, variance=0.004, df=3, question_variance=0.0016, n=100).needed_n() is None


def test_seeds_too_far_apart_need_more_seeds() -> None:
    lucky = {name: [float(i < count) for i in range(N)] for name, count in zip((c.name for c in DIRECT), (30, 70, 110), strict=True)}
    base = {BASE.name: [float(i < 60) for i in range(N)]}
    (found,) = pooled([BASE, *DIRECT], base | lucky, "accuracy")[1]
    assert found.needed_n is None
    assert found.verdict.endswith("more questions alone would not show it, because the seeds differ too much: train more seeds")


def test_equal_families_are_equal() -> None:
    twin = trained("twin", 1, 2)
    right = answers(twin, 0.5) | dict(zip((c.name for c in trained("other", 1, 2)), answers(twin, 0.5).values(), strict=True))
    found = pooled([*twin, *trained("other", 1, 2)], right, "accuracy")[1][0]
    assert (found.difference, found.p_value, found.needed_n) == (0.0, 1.0, None)
    assert "the measured difference is 0" in found.verdict


def test_two_modes_of_the_same_trainings_are_paired_by_seed() -> None:
    """Each training is as much better with answers as the next, however lucky it was."""
    counts = {13: 40, 14: 60, 15: 80}
    told = trained("direct", 15, 14, 13, mode="assisted", resolver="teacher")
    others = trained("else", 15, 14, 13, mode="assisted", resolver="teacher")
    right = {c.name: [float(i < counts[c.seed or 0]) for i in range(N)] for c in DIRECT}
    right |= {c.name: [float(i < counts[c.seed or 0] + 12) for i in range(N)] for c in [*told, *others]}
    (same,) = pooled([*DIRECT, *told], right, "accuracy")[1]
    (apart,) = pooled([*DIRECT, *others], right, "accuracy")[1]
    assert same.difference == pytest.approx(0.1)
    assert apart.difference == pytest.approx(0.1)
    assert same.p_value < 0.001 < 0.3 < apart.p_value
    assert (same.p_target, apart.p_target) == (pytest.approx(1), pytest.approx(1))


def test_families_need_their_seeds() -> None:
    with pytest.raises(InvalidInput, match=r"condition 'direct-sNone.direct': seed is empty"):
        pooled([*DIRECT, *trained("direct", None)], {}, "accuracy")
    again = Condition(adapter="direct-again", mode="direct", family="direct", seed=13)
    with pytest.raises(InvalidInput, match=r"'direct-s13.direct' and 'direct-again.direct': both have seed 13"):
        pooled([*DIRECT, again], {}, "accuracy")


def test_without_families_there_are_no_pools() -> None:
    assert pooled([BASE, *ALONE], RIGHT, "accuracy") == ([], [])
