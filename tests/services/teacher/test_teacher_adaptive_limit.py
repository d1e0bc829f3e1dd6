"""The limit on calls under way."""

import pytest

from services.teacher.pacing.adaptive_limit import AdaptiveLimit


def succeed(limit: AdaptiveLimit, times: int) -> int:
    for _ in range(times):
        limit.succeeded(limit.value)
    return limit.value


@pytest.mark.parametrize(("configured", "start"), [(None, 4), (1, 1), (100, 100)])
def test_it_starts_at_what_is_configured_else_modestly(configured: int | None, start: int) -> None:
    assert AdaptiveLimit(configured).value == start


def test_it_doubles_each_round_up_to_the_ceiling() -> None:
    limit = AdaptiveLimit(None)
    assert [succeed(limit, limit.value) for _ in range(5)] == [8, 16, 32, 64, 64]


def test_it_never_grows_beyond_what_is_configured() -> None:
    assert succeed(AdaptiveLimit(5), 100) == 5


def test_it_does_not_grow_while_it_is_not_used_up() -> None:
    limit = AdaptiveLimit(None)
    for _ in range(100):
        limit.succeeded(3)
    assert limit.value == 4


def test_a_refusal_takes_off_a_part_and_calls_from_before_do_not_count_again() -> None:
    limit = AdaptiveLimit(None)
    succeed(limit, 4)
    assert limit.refused(7, 12)
    assert not any(limit.refused(call, 16) for call in (5, 6, 8, 12))
    assert limit.value == 5
    assert limit.refused(13, 16)
    assert limit.value == 3


def test_it_never_falls_below_one() -> None:
    limit = AdaptiveLimit(None)
    for call in range(1, 50):
        limit.refused(call, call)
    assert limit.value == 1


def test_after_a_refusal_it_grows_by_one_for_a_whole_row_of_successes() -> None:
    limit = AdaptiveLimit(None)
    limit.refused(1, 4)
    assert succeed(limit, 2) == 3
    limit.failed()
    assert succeed(limit, 2) == 3
    assert succeed(limit, 1) == 4
    assert succeed(limit, 3) == 4
    assert succeed(limit, 1) == 5
