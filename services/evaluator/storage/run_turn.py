"""Who scores or reports a run does it alone, whichever thread or process it is."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from askback.contracts.errors import Conflict
from services.evaluator.storage.run_folder import RunFolder

_PATIENCE_S = 120.0
_LOOK_EVERY_S = 0.05


@contextmanager
def alone(run: RunFolder, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Hold the run for the block; raises Conflict when another has it for longer than `patience_s`. A process that dies lets go."""
    with (run.path / ".evaluator.lock").open("w") as lock:
        ends = time.monotonic() + patience_s
        while not _taken(lock):
            if time.monotonic() > ends:
                raise Conflict(f"run {run.run_id!r}: is being scored or reported; ask again when that is done")
            time.sleep(_LOOK_EVERY_S)
        yield


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
