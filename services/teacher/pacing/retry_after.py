"""How long to wait before a try: what a reply's headers say, and a backoff for replies that say nothing."""

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from random import Random

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|μs|ms|s|m|h|d)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DOUBLINGS = 4  # 0.5 s becomes 8 s


def retry_after_s(headers: Mapping[str, str], wall: Callable[[], float] = time.time) -> float | None:
    """Seconds from now that `retry-after-ms` or else `retry-after` (seconds or HTTP date) asks for; never negative.

    None when neither can be read. A date is compared with `wall` (Unix seconds), and one that is past asks for 0. Plain
    dictionaries must have lower-case names.
    """
    milliseconds = number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = number(text)
    return _until_date_s(text, wall) if seconds is None else seconds


def backoff_s(tries: int, random: Random) -> float:
    """Seconds to wait after `tries` earlier waits (0 for the first): anything up to 0.5 s, doubled each time up to 8 s.

    The whole span is random, so that callers who failed together do not come back together.
    """
    return random.uniform(0.0, 0.5 * 2 ** min(tries, _DOUBLINGS))


def duration_s(text: str) -> float | None:
    """Seconds of a duration such as `6m0s`, `20ms`, `1h2m` or plain `1.5`; None for anything else."""
    text = text.strip()
    if not text.endswith(("s", "m", "h", "d")):
        return number(text)
    parts = _PART.findall(text)
    if "".join(amount + unit for amount, unit in parts) != text:
        return None
    return _finite(sum(float(amount) * _UNIT_S[unit] for amount, unit in parts))


def number(text: str) -> float | None:
    """A plain decimal of 0 or more; None for anything else, such as a sign, an exponent, `nan` or `inf`."""
    text = text.strip()
    return _finite(float(text)) if _NUMBER.fullmatch(text) else None


def _until_date_s(text: str, wall: Callable[[], float]) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall())
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser leaks all of these on odd text
        return None


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
