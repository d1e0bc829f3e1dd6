"""The lock file whose holder owns the card: what the student, its engine's start and the trainer share on disk.

`flock` gives the card to one holder, and the kernel frees it when the last process that has the file open dies. What stands in the file
tells what became of the engine, since a holder may die between two steps. Only the lock's holder writes it.
"""

import fcntl
import os
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ValidationError

from askback.contracts.errors import InvalidInput

_SIZE = 512  # a note is always written whole over the last one, with one call, so that no kill leaves half of it


class EngineNote(StrEnum):
    """What the lock's last holder knew of the engine."""

    UNKNOWN = "unknown"
    UP = "up"
    """It is awake, or a call to wake it may still be under way."""
    ASLEEP = "asleep"
    """It said so itself, and nobody has asked it to wake since."""


class Note(BaseModel):
    """What stands in the lock file."""

    engine: EngineNote = EngineNote.UNKNOWN
    holder: str = ""


class GpuLock:
    """One opening of the lock file. A copy of its descriptor in a child process keeps the lock until both are closed."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.held = False

    @classmethod
    def at(cls, path: Path) -> "GpuLock":
        """Open `path`, making it and its folder where they are missing; raises InvalidInput when that cannot be."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
        except OSError as error:
            raise InvalidInput(f"GPU_LOCK: {path} cannot be opened ({error.strerror}); give a file that student and trainer may write") from error

    def take(self) -> bool:
        """Whether the lock is held from now on; False while another holds it."""
        self.held = self.held or _flock(self.descriptor, fcntl.LOCK_EX)
        return self.held

    def is_free(self) -> bool:
        """Whether nobody holds it at this moment. Looks for an instant, through a lock that may be shared."""
        free = not self.held and _flock(self.descriptor, fcntl.LOCK_SH)
        if free:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return free

    def release(self) -> None:
        self.held = False
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes this process's descriptor; the lock is free once no process has a copy open."""
        self.held = False
        os.close(self.descriptor)

    def read(self) -> Note:
        """The last note; an empty or damaged file tells nothing, and its note says UNKNOWN."""
        try:
            return Note.model_validate_json(os.pread(self.descriptor, _SIZE, 0))
        except ValidationError:
            return Note()

    def write(self, note: Note) -> None:
        """Leave `note` for the next holder. Only for the lock's holder."""
        text = note.model_copy(update={"holder": note.holder[:60]}).model_dump_json().encode()
        os.pwrite(self.descriptor, text.ljust(_SIZE), 0)


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
