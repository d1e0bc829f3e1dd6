"""Train a job in this process, or on several cards in processes of their own."""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from askback.contracts import errors
from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState
from services.trainer.processes import accelerate_launch
from services.trainer.processes.process import end_child
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.records.jobs import JobStore
from services.trainer.settings import Settings

log = logging.getLogger(__name__)

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
RANK = "services.trainer.processes.rank"
POLL_S = 0.5
LOOK_S = 5.0
"""Seconds after which the record is written also when nothing is new in it, since a write is what tells that the lock is lost."""
GRACE_S = 2.0  # with the end of this process itself, less than the worker gives it


class Reports(FolderJobs):
    """What the processes of one job say of it, in the job's own folder.

    They hold no lock, so they may not write the job's record: the process that started them does, which holds it.
    """

    def __init__(self, job_folder: Path) -> None:
        super().__init__(job_folder / "reports")
        self._failures = FolderJobs(self.root / "failed")

    def checkpoints(self, job_id: str) -> Path:
        return self.root.parent / "checkpoints"

    def begin(self, job: Job) -> None:
        """Forget what was said, and start from `job`."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.write(job)

    def fail(self, job: Job) -> None:
        """Keep how the job failed, unless another process failed before this one: what follows a failure only hides it."""
        if self.failure(job.id) is None:
            self._failures.write(job)

    def failure(self, job_id: str) -> Job | None:
        return self._failures.find(job_id)


def run(settings: Settings, store: JobStore, job: Job) -> Job:
    """Train `job` and return it as DONE; raises what ended it. Call it before torch is imported."""
    # Passes differ in length from step to step; without segments that grow, what they leave behind is memory that none of them can use.
    os.environ.setdefault(ALLOCATOR, "expandable_segments:True")
    if job.request.recipe.gpus > 1:
        return _on_several(store, job)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # TRL refuses several visible cards in one process
    from services.trainer.learning.training import train

    return train(settings, store, job)


def _on_several(store: JobStore, job: Job) -> Job:
    from services.trainer.model.torch_card import cards

    recipe, there = job.request.recipe, cards()
    if 0 < there < recipe.gpus:
        raise InvalidInput(f"recipe.gpus: {recipe.gpus} cards are asked for and {there} are visible; lower it or set CUDA_VISIBLE_DEVICES")
    if recipe.batch_size * recipe.gradient_accumulation % recipe.gpus:
        raise InvalidInput(
            f"recipe.gpus: {recipe.gpus} cards cannot share the {recipe.batch_size} x {recipe.gradient_accumulation} rows of a step evenly; "
            "change gpus, batch_size or gradient_accumulation"
        )
    reports = Reports(store.folder(job.id))
    reports.begin(job)
    code = _watched(accelerate_launch.command(recipe.gpus, there > 0, recipe.sharded, RANK, job.id), reports, store, job)
    if failure := reports.failure(job.id):
        raise errors.ERRORS.get(failure.error_kind, ServiceError)(failure.error)
    ended = reports.read(job.id)
    if code or ended.state is not JobState.DONE:
        raise ServiceError(f"the processes of the training ended with code {code}; their last lines are in the job's train.log")
    return ended


def _watched(command: list[str], reports: Reports, store: JobStore, job: Job) -> int:
    """Run `command`, whose reports become the job's record, and return its exit code; raises LockLost, and then none of its processes is left."""
    log.info("starting %s", " ".join(command[2:]))
    said, written = job, time.monotonic()
    with _child(command) as child:
        while child.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
            news = reports.read(job.id).model_copy(update={"state": job.state})
            if news == said and time.monotonic() - written < LOOK_S:
                continue
            try:
                store.write(news)
            except UpstreamUnavailable as error:  # the training goes on for as long as the lock is held
                log.warning("%s", error)
            said, written = news, time.monotonic()
    return int(child.returncode)


@contextmanager
def _child(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A running `command`, ended with the block: it tells its own children to end first, and they die with it if it does not."""
    child = subprocess.Popen(command, env=accelerate_launch.environment(os.environ))  # noqa: S603 - fixed options, a checked id
    try:
        yield child
    finally:
        end_child(child, GRACE_S)
