"""Configured and announced limits of one kind."""

import pytest

from services.teacher.pacing.quota import Quota


def said(remaining: str | None = None, reset: str | None = None, limit: str | None = None, kind: str = "requests") -> dict[str, str]:
    pairs = {f"x-ratelimit-limit-{kind}": limit, f"x-ratelimit-remaining-{kind}": remaining, f"x-ratelimit-reset-{kind}": reset}
    return {name: text for name, text in pairs.items() if text is not None}


def spacing_s(quota: Quota, now: float) -> float:
    while quota.wait_s(1, now) <= 0:
        quota.take(1)
    return quota.wait_s(1, now)


def test_without_limits_everything_may_be_taken() -> None:
    quota = Quota("requests", None, 0.0)
    for _ in range(1000):
        assert quota.wait_s(1, 0.0) <= 0
        quota.hear({}, quota.take(1), 0.0, 0.0)


@pytest.mark.parametrize(
    ("configured", "announced", "per_minute"), [(None, "30", 30), (60, "30", 30), (30, "60", 30), (60, "0", 60), (60, "-1", 60), (60, "many", 60)]
)
def test_the_lower_limit_holds_and_an_odd_one_is_none(configured: float | None, announced: str, per_minute: float) -> None:
    quota = Quota("requests", configured, 0.0)
    quota.hear(said(limit=announced), quota.take(1), 0.0, 0.5)
    assert quota.wait_s(1, 0.5) > 0, "the call that brought the news was the burst"
    assert spacing_s(quota, 100.0) == pytest.approx(60 / per_minute / 0.97)


def test_a_limit_that_is_lifted_is_followed() -> None:
    quota = Quota("requests", None, 0.0)
    quota.hear(said(limit="6"), quota.take(1), 0.0, 0.0)
    quota.hear(said(limit="60"), quota.take(1), 0.0, 0.0)
    assert spacing_s(quota, 100.0) == pytest.approx(1 / 0.97)


def test_nothing_starts_before_the_reset_once_nothing_remains() -> None:
    quota = Quota("requests", None, 0.0)
    quota.hear(said("0", "20s"), quota.take(1), 10.0, 12.0)
    assert quota.wait_s(1, 12.0) == 18.0
    assert quota.wait_s(1, 30.0) <= 0


def test_calls_that_began_since_count_against_the_remainder() -> None:
    quota = Quota("requests", None, 0.0)
    first = quota.take(1)
    for _ in range(2):
        quota.take(1)
    quota.hear(said("4", "20s"), first, 0.0, 5.0)
    for _ in range(2):
        assert quota.wait_s(1, 5.0) <= 0
        quota.take(1)
    assert quota.wait_s(1, 5.0) == 15.0


def test_older_calls_bring_old_news() -> None:
    quota = Quota("requests", None, 0.0)
    older, newer = quota.take(1), quota.take(1)
    quota.hear(said("0", "20s"), newer, 1.0, 2.0)
    quota.hear(said("50", "30s"), older, 0.0, 3.0)
    assert quota.wait_s(1, 3.0) == 18.0


def test_a_reset_far_away_holds_nothing_for_long() -> None:
    quota = Quota("requests", None, 0.0)
    quota.hear(said("0", "24h0m0s"), quota.take(1), 0.0, 0.0)
    assert quota.wait_s(1, 0.0) == 60.0


@pytest.mark.parametrize("headers", [said("0"), said("0", "soon"), said("none", "20s"), said("-1", "20s"), said("0", "20s", kind="tokens")])
def test_headers_that_cannot_be_read_say_nothing(headers: dict[str, str]) -> None:
    quota = Quota("requests", None, 0.0)
    quota.hear(headers, quota.take(1), 0.0, 0.0)
    assert quota.wait_s(1, 0.0) <= 0


def test_a_request_for_more_tokens_than_remain_waits_and_a_smaller_one_does_not() -> None:
    quota = Quota("tokens", None, 0.0)
    quota.hear(said("500", "6m0s", kind="tokens"), quota.take(100), 0.0, 0.0)
    assert quota.wait_s(501, 0.0) == 60.0
    assert quota.wait_s(500, 0.0) <= 0
