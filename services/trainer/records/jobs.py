"""What a store of jobs can do. Two kinds: `folder_jobs.py` for one file system, `redis_jobs.py` for many machines."""

import os
import re
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from askback.contracts.errors import Conflict, NotFound
from askback.contracts.trainer import Job

JOB_ID = re.compile(r"[0-9a-f]{16}")
POLL_S = 0.05


class LockLost(Conflict):
    """This process held a job's lock and has it no more, so that another one may train the job by now."""


class JobStore(Protocol):
    """The jobs of one trainer. What is written of a job is written under its lock, but for the marks of `cancel` and `mark_enqueued`.

    All methods raise NotFound for what cannot be an id, and UpstreamUnavailable where the store is a server that does not answer.
    """

    @property
    def outlives_s(self) -> float:
        """Seconds for which the lock of a killed process stays locked at most."""

    def folder(self, job_id: str) -> Path:
        """The job's folder on this machine's disk, there or not: its log and its checkpoints."""

    def checkpoints(self, job_id: str) -> Path: ...

    def find(self, job_id: str) -> Job | None:
        """The job, or None when it was never submitted; raises ServiceError for a record that cannot be read."""

    def read(self, job_id: str) -> Job:
        """As `find`, but raises NotFound when the job was never submitted."""

    def write(self, job: Job) -> None:
        """Replace the record at once and whole; raises LockLost when this store held the job's lock and lost it."""

    def all(self) -> list[Job]:
        """Every job, in the order of their first submission."""

    def lock(self, job_id: str, wait_s: float = 0.0) -> AbstractContextManager[bool]:
        """Hold the job's lock and yield True, or yield False when another holds it for longer than `wait_s`."""

    def is_live(self, job_id: str) -> bool:
        """Whether a process trains this job now."""

    def starts(self, job_id: str) -> int:
        """How often the job was started without an orderly end since."""

    def count_start(self, job_id: str) -> None: ...

    def clear_starts(self, job_id: str) -> None: ...

    def cancel(self, job_id: str) -> None:
        """Ask the job's worker, wherever it runs, to end it."""

    def is_cancelled(self, job_id: str) -> bool: ...

    def clear_cancel(self, job_id: str) -> None: ...

    def mark_enqueued(self, job_id: str, for_s: float) -> None:
        """A message for the job is on the queue; believe so for `for_s` seconds."""

    def is_enqueued(self, job_id: str) -> bool: ...

    def clear_enqueued(self, job_id: str) -> None: ...


def checked(job_id: str) -> str:
    """`job_id`; raises NotFound for what cannot be an id."""
    if not JOB_ID.fullmatch(job_id):
        raise NotFound(f"job {job_id[:64]!r}: no such job; ids are 16 hexadecimal digits")
    return job_id


def never_submitted(job_id: str) -> NotFound:
    return NotFound(f"job {job_id}: no such job; submit it first")


def write_atomic(path: Path, text: str) -> None:
    """Write aside, flush to the disk, rename: a reader sees the old file or the whole new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)
