"""Retry-After, backoff and durations as upstreams write them."""

from random import Random

import pytest

from services.teacher.pacing.retry_after import backoff_s, duration_s, number, retry_after_s

GARBAGE = ["", " ", "soon", "-1", "+1", "nan", "inf", "-inf", "1e3", "1_000", "0x10", "1,5", "٣", "9" * 400, "1.2.3", "Wed, 99 Foo 2026", "\x00"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20.0),
        ({"content-type": "text/plain"}, None),
    ],
)
def test_seconds_and_milliseconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_counts_from_the_wall_clock() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after_s(headers, lambda: 1445412450.0) == 30.0
    assert retry_after_s(headers, lambda: 1445412500.0) == 0.0


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_asks_for_nothing(text: str) -> None:
    assert retry_after_s({"retry-after": text}) is None
    assert retry_after_s({"retry-after-ms": text}) is None
    assert number(text) is None
    assert duration_s(text) is None


def test_no_text_breaks_the_parsers_or_yields_a_wait_below_zero() -> None:
    random = Random(1)
    for _ in range(20_000):
        text = "".join(random.choice("0123456789.-+:, smhdnuµGMTOctWed\t\u0660é") for _ in range(random.randrange(24)))
        for seconds in (retry_after_s({"retry-after": text}), retry_after_s({"retry-after-ms": text}), duration_s(text)):
            assert seconds is None or 0 <= seconds < float("inf"), text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1.5s", 1.5),
        ("1h2m", 3720.0),
        ("2m59.56s", 179.56),
        ("1d", 86400.0),
        ("800µs", 0.0008),
        ("0s", 0.0),
        ("7.5", 7.5),
        (" 3s ", 3.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["s", "m5s", "5 s", "1s2", "1.2.3s", "-1s", "1s-2s", "inf s", "nans", "9" * 400 + "s", "2026-01-01T00:00:00"])
def test_what_is_no_duration(text: str) -> None:
    assert duration_s(text) is None


@pytest.mark.parametrize(("tries", "most"), [(0, 0.5), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (10_000, 8.0)])
def test_backoff_uses_its_whole_span_and_no_more(tries: int, most: float) -> None:
    random = Random(7)
    waits = [backoff_s(tries, random) for _ in range(500)]
    assert 0 <= min(waits) < 0.05 * most
    assert 0.95 * most < max(waits) <= most
