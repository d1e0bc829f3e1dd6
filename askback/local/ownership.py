"""Who stops the stack at the end: the run that started it, or the next run when that one was killed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOR_A_RUN = "started for a run\n"


@contextmanager
def claimed(mark: Path, running: bool) -> Iterator[bool]:
    """Whether this process ends the stack when the block ends.

    True when the stack is down and started here, or when a run started it and is dead. False beside a living run, and for
    a stack that a person started (`forget`). The lock on `mark` lives as long as its process, so a kill frees it.
    """
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.seek(0)
        mine = not running or file.read() == _FOR_A_RUN
        if mine:
            mark.write_text(_FOR_A_RUN, encoding="utf-8")
        yield mine


def forget(mark: Path) -> None:
    """The stack belongs to no run: a person starts or stops it."""
    if mark.exists():
        mark.write_text("", encoding="utf-8")
