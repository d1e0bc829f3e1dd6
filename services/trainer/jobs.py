"""The job folders: `<jobs>/<id>/job.json`, and a lock that the training process holds while it runs."""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from askback.contracts.errors import NotFound, ServiceError
from askback.contracts.trainer import Job

JOB_ID = re.compile(r"[0-9a-f]{16}")
POLL_S = 0.05


def write_atomic(path: Path, text: str) -> None:
    """Write aside, flush to the disk, rename: a reader sees the old file or the whole new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


class JobStore:
    """Jobs on disk. A job is live exactly while its lock is held, so a killed process leaves no stale mark."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, job_id: str) -> Path:
        """The job's folder, there or not; raises NotFound for what cannot be an id."""
        if not JOB_ID.fullmatch(job_id):
            raise NotFound(f"job {job_id[:64]!r}: no such job; ids are 16 hexadecimal digits")
        return self.root / job_id

    def checkpoints(self, job_id: str) -> Path:
        return self.folder(job_id) / "checkpoints"

    def find(self, job_id: str) -> Job | None:
        """The job, or None when it was never submitted."""
        path = self.folder(job_id) / "job.json"
        try:
            return Job.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise ServiceError(f"{path}: not a job record ({error.error_count()} errors); remove the folder and submit again") from error

    def read(self, job_id: str) -> Job:
        job = self.find(job_id)
        if job is None:
            raise NotFound(f"job {job_id}: no such job; submit it first")
        return job

    def write(self, job: Job) -> None:
        folder = self.folder(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "job.json", job.model_dump_json())

    def all(self) -> list[Job]:
        """Every job, in the order of their first submission."""
        folders = [file.parent for file in self.root.glob("*/lock") if JOB_ID.fullmatch(file.parent.name)]
        folders.sort(key=lambda folder: ((folder / "lock").stat().st_mtime_ns, folder.name))  # nothing is ever written into a lock
        return [job for folder in folders if (job := self.find(folder.name)) is not None]

    @contextmanager
    def lock(self, job_id: str, wait_s: float = 0.0) -> Iterator[bool]:
        """Hold the job's lock and yield True, or yield False when another holds it for longer than `wait_s`."""
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + wait_s
        with (folder / "lock").open("a") as stream:  # closing it, or dying, frees the lock
            held = _try_lock(stream.fileno())
            while not held and time.monotonic() < until:
                time.sleep(POLL_S)
                held = _try_lock(stream.fileno())
            yield held

    def is_live(self, job_id: str) -> bool:
        """Whether a process trains this job now."""
        with self.lock(job_id) as free:
            return not free

    def starts(self, job_id: str) -> int:
        """How often the job was started without an orderly end since."""
        path = self.folder(job_id) / "starts"
        return path.stat().st_size if path.exists() else 0

    def count_start(self, job_id: str) -> None:
        with (self.folder(job_id) / "starts").open("a") as stream:
            stream.write("*")

    def clear_starts(self, job_id: str) -> None:
        (self.folder(job_id) / "starts").unlink(missing_ok=True)

    def cancel_flag(self, job_id: str) -> Path:
        """The file whose existence asks the job's worker to end it."""
        return self.folder(job_id) / "cancel"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
