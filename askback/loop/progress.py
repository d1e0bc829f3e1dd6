"""Progress with counts and times: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 10.0  # a log stays readable, and a person still sees that it moves


class Bar(Protocol):
    """One piece of work under way."""

    def advance(self, steps: int = 1) -> None: ...
    def move_to(self, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...


class Reporter:
    """Writes to standard error, so that standard output stays a program's to read."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._shown: Progress | None = None
        self._open = 0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, name: str, total: int) -> Iterator[Bar]:
        """A bar named `name` over `total` steps, until the block ends."""
        if not self._console.is_terminal:
            lines = _Lines(name, total)
            yield lines
            lines.finish()
            return
        with self._display() as progress:
            yield _RichBar(progress, name, total)

    @contextmanager
    def _display(self) -> Iterator[Progress]:
        """One display for all bars that are open at a time: a terminal has room for one."""
        if self._shown is None:
            columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._shown = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)
            self._shown.start()
        self._open += 1
        try:
            yield self._shown
        finally:
            self._open -= 1
            if not self._open:
                self._shown.stop()
                self._shown = None


class _RichBar:
    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total, note="")

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def move_to(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


class _Lines:
    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done, self._note = name, total, 0, ""
        self._started = self._printed = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self.move_to(self._done + steps, self._total)

    def move_to(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        if time.monotonic() - self._printed >= _LINE_EVERY_S:
            self._print()

    def note(self, text: str) -> None:
        self._note = text

    def finish(self) -> None:
        self._print()

    def _print(self) -> None:
        self._printed = time.monotonic()
        text = f"{self._name:<22} {self._done}/{self._total}  {self._printed - self._started:.0f} s  {self._note}"
        sys.stderr.write(text.rstrip() + "\n")
        sys.stderr.flush()
