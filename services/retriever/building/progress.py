"""What a long build says: stage, count, rate and time left, a line every few seconds."""

from collections.abc import Callable
from time import monotonic
from typing import TextIO

Progress = Callable[[str, int, int], None]
"""(stage, done, total); a total of 0 is unknown."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody reads."""


class ProgressLines:
    """Progress as lines of text. Rates are of this process, so a resumed build does not count what it found done."""

    def __init__(self, out: TextIO, every_s: float = 2.0) -> None:
        self._out = out
        self._every_s = every_s
        self._stage = ""
        self._first = 0
        self._began = self._said = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = monotonic()
        if stage != self._stage:
            self._stage, self._first, self._began = stage, done, now
            self._said = now
            self._say(f"{stage}: {done:,}{_of(done, total)}")
        elif now - self._said >= self._every_s or done == total:
            self._said = now
            rate = (done - self._first) / max(now - self._began, 1e-9)
            left = f", {_time((total - done) / rate)} left" if total > done and rate > 0 else ""
            self._say(f"{stage}: {done:,}{_of(done, total)}, {rate:,.0f}/s{left}")

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


def _of(done: int, total: int) -> str:
    return f" of {total:,} ({done / total:.0%})" if total else ""


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
