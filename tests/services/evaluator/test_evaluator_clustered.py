"""Means over questions that come in rows."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluator.metrics import clustered
from services.evaluator.stats import intervals


def test_mean_by_hand() -> None:
    found = clustered.mean("m", [[1.0, 0.0], [1.0], []], 0)
    assert found is not None and (found.name, found.n) == ("m", 3)
    assert found.value == pytest.approx(2 / 3)
    assert found.stderr == pytest.approx((2 / 9) ** 0.5 / 3)  # residuals -1/3 and 1/3 over three values
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("rows", "p", "effective"),
    [
        ([[True, True], [False, False]] * 10, 0.5, 20),  # two alike are worth one
        ([[True, False], [True]], 2 / 3, 3),  # never more than there are
        ([[True, True]] * 3, 1.0, 3),
        ([[True, False]] * 8, 0.5, 8),
        ([[True] * 2 + [False] * 5] * 11, 2 / 7, 11),  # a share that floats only come near to
        ([[False, False, False], []], 0.0, 1),
    ],
)
def test_share_has_wilsons_interval_at_the_effective_size(rows: list[list[bool]], p: float, effective: int) -> None:
    found = clustered.share("s", rows, 0)
    assert found is not None and found.n == sum(map(len, rows))
    assert found.value == pytest.approx(p)
    assert (found.low, found.high) == pytest.approx(intervals.wilson(p, effective))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_rows_of_one_are_a_plain_share(values: list[bool]) -> None:
    found, plain = clustered.share("s", [[value] for value in values], 0), intervals.proportion("s", [float(value) for value in values])
    assert found is not None and found.n == plain.n
    ours, theirs = ((one.value, one.stderr, one.low, one.high) for one in (found, plain))
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_an_interval_ends_where_shares_do() -> None:
    found = clustered.mean("m", [[1.0], [0.0] * 9], 0)  # linearised, the rows stand for 0.28 and -0.08
    assert found is not None and (found.low, found.high) == pytest.approx((0.0, 0.28))


def test_no_values_no_metric() -> None:
    assert clustered.share("s", [[], []], 0) is clustered.mean("m", [], 0) is None


def test_intervals_cover_where_rows_are_alike() -> None:
    """200 times 60 rows of two equal values at p = 0.4; taken as 120 values the intervals would cover 83 %."""
    dice, covered, naive = random.Random(1), 0, 0
    for seed in range(200):
        rows = [[dice.random() < 0.4] * 2 for _ in range(60)]
        found = clustered.share("s", rows, seed)
        assert found is not None
        covered += found.low <= 0.4 <= found.high
        low, high = intervals.wilson(found.value, 120)
        naive += low <= 0.4 <= high
    assert covered / 200 >= 0.91 > naive / 200
