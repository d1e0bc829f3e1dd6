"""Jobs as folders, `<jobs>/<id>/job.json`, and a lock file that the training process holds while it runs."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from askback.contracts.errors import ServiceError
from askback.contracts.trainer import Job
from services.trainer.records.jobs import JOB_ID, POLL_S, checked, never_submitted, write_atomic


class FolderJobs:
    """A JobStore for one host or one shared file system. A killed process leaves no stale mark, since its lock dies with it."""

    outlives_s = 0.0

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, job_id: str) -> Path:
        return self.root / checked(job_id)

    def checkpoints(self, job_id: str) -> Path:
        return self.folder(job_id) / "checkpoints"

    def find(self, job_id: str) -> Job | None:
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
            raise never_submitted(job_id)
        return job

    def write(self, job: Job) -> None:
        write_atomic(self._made(job.id) / "job.json", job.model_dump_json())

    def all(self) -> list[Job]:
        folders = [file.parent for file in self.root.glob("*/lock") if JOB_ID.fullmatch(file.parent.name)]
        folders.sort(key=lambda folder: ((folder / "lock").stat().st_mtime_ns, folder.name))  # nothing is ever written into a lock
        return [job for folder in folders if (job := self.find(folder.name)) is not None]

    @contextmanager
    def lock(self, job_id: str, wait_s: float = 0.0) -> Iterator[bool]:
        until = time.monotonic() + wait_s
        with (self._made(job_id) / "lock").open("a") as stream:  # closing it, or dying, frees the lock
            held = _try_lock(stream.fileno())
            while not held and time.monotonic() < until:
                time.sleep(POLL_S)
                held = _try_lock(stream.fileno())
            yield held

    def is_live(self, job_id: str) -> bool:
        with self.lock(job_id) as free:
            return not free

    def starts(self, job_id: str) -> int:
        path = self.folder(job_id) / "starts"
        return path.stat().st_size if path.exists() else 0

    def count_start(self, job_id: str) -> None:
        with (self._made(job_id) / "starts").open("a") as stream:
            stream.write("*")

    def clear_starts(self, job_id: str) -> None:
        (self.folder(job_id) / "starts").unlink(missing_ok=True)

    def cancel(self, job_id: str) -> None:
        (self._made(job_id) / "cancel").touch()

    def is_cancelled(self, job_id: str) -> bool:
        return (self.folder(job_id) / "cancel").exists()

    def clear_cancel(self, job_id: str) -> None:
        (self.folder(job_id) / "cancel").unlink(missing_ok=True)

    def mark_enqueued(self, job_id: str, for_s: float) -> None:
        """The file's time is the moment from which the message is no more believed in."""
        mark = self._made(job_id) / "enqueued"
        mark.touch()
        os.utime(mark, (time.time() + for_s,) * 2)

    def is_enqueued(self, job_id: str) -> bool:
        try:
            return (self.folder(job_id) / "enqueued").stat().st_mtime > time.time()
        except FileNotFoundError:
            return False

    def clear_enqueued(self, job_id: str) -> None:
        (self.folder(job_id) / "enqueued").unlink(missing_ok=True)

    def _made(self, job_id: str) -> Path:
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
