"""Submitting, cancelling and recovering jobs; the training itself is another process's."""

import logging
from collections.abc import Callable

from askback.contracts.errors import Conflict
from askback.contracts.trainer import Job, JobState, TrainRequest
from services.trainer.dataset import read_dataset
from services.trainer.jobs import JobStore
from services.trainer.settings import Settings
from services.trainer.workspace import Workspace

log = logging.getLogger(__name__)

Enqueue = Callable[[str], None]
"""Hand a job's id to a worker."""

MOST_DEATHS = 3
"""Worker deaths that one job survives before it is held to be their cause."""
LOCK_WAIT_S = 0.5  # longer than any submission holds a lock, far shorter than a training


class Jobs:
    """The jobs of one trainer. Methods read and hash files, so call them off the event loop."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings = settings
        self.store = store

    def submit(self, request: TrainRequest, enqueue: Enqueue) -> Job:
        """The job of `request`, enqueued unless it is done or runs.

        Raises InvalidInput for a bad path or row, Conflict when the adapter's name is taken by another job's adapter.
        """
        workspace = Workspace(self._settings, request)
        read_dataset(workspace.dataset, request.method)
        job_id = workspace.job_id()
        with self.store.lock(job_id, LOCK_WAIT_S) as free:
            if not free:
                return self.store.read(job_id)
            job = self._placed(job_id, workspace)
        if job.state is not JobState.DONE:
            enqueue(job_id)
        return job

    def _placed(self, job_id: str, workspace: Workspace) -> Job:
        known = self.store.find(job_id)
        if workspace.is_published(job_id):
            job = known or Job(id=job_id, state=JobState.DONE, request=workspace.request)
            job = job.model_copy(update={"state": JobState.DONE, "adapter": workspace.adapter, "error": ""})
        elif known and known.state in (JobState.QUEUED, JobState.RUNNING):
            job = known.model_copy(update={"state": JobState.QUEUED})
        else:
            self.store.clear_starts(job_id)
            job = Job(id=job_id, state=JobState.QUEUED, request=workspace.request)
        self.store.cancel_flag(job_id).unlink(missing_ok=True)
        self.store.write(job)
        return job

    def cancel(self, job_id: str) -> Job:
        """End a queued or running job; a running one is FAILED within seconds, once its worker has ended it."""
        job = self.store.read(job_id)
        if job.state in (JobState.DONE, JobState.FAILED):
            raise Conflict(f"job {job_id} is {job.state} and cannot be cancelled")
        self.store.cancel_flag(job_id).touch()
        with self.store.lock(job_id) as free:
            job = self.store.read(job_id)
            if free and job.state in (JobState.QUEUED, JobState.RUNNING):
                job = failed(job, "ServiceError", "cancelled")
                self.store.write(job)
        return job

    def recover(self, enqueue: Enqueue) -> list[str]:
        """Enqueue what a dead worker left queued or running; returns the ids in the order of submission."""
        recovered = []
        for job in self.store.all():
            if job.state not in (JobState.QUEUED, JobState.RUNNING) or self.store.is_live(job.id):
                continue
            if self.store.starts(job.id) >= MOST_DEATHS:
                text = f"its worker died {MOST_DEATHS} times during this job (out of memory?); submit it again to retry"
                self.store.write(failed(job, "ServiceError", text))
                continue
            enqueue(job.id)
            recovered.append(job.id)
        return recovered


def failed(job: Job, kind: str, error: str) -> Job:
    """`job` as FAILED with the first line of `error`."""
    line = next((line.strip() for line in error.splitlines() if line.strip()), kind)
    return job.model_copy(update={"state": JobState.FAILED, "error": line, "error_kind": kind})
