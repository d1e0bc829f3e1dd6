"""Submitting, cancelling and recovering jobs; the training itself is another process's."""

from collections.abc import Callable
from contextlib import suppress

from askback.contracts.errors import Conflict, ServiceError
from askback.contracts.trainer import Job, JobState, TrainRequest
from services.trainer.failure import failed
from services.trainer.records.jobs import JobStore, LockLost
from services.trainer.rows.dataset import read_dataset
from services.trainer.settings import Settings
from services.trainer.storage.workspace import Workspace

Enqueue = Callable[[str], None]
"""Hand a job's id to a worker."""

OPEN = (JobState.QUEUED, JobState.RUNNING)
MOST_DEATHS = 2
"""Worker deaths after which a job is held to be their cause; after the first it is tried once more."""
TOO_MANY_DEATHS = "its worker died twice during this job (out of memory?); submit it again to retry"
BELIEVED_S = 300.0
"""Seconds for which a message on the queue is believed to be there still; one too many does nothing."""
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
            self._enqueue(job_id, enqueue)
        return job

    def _placed(self, job_id: str, workspace: Workspace) -> Job:
        known = self.store.find(job_id)
        if workspace.is_published(job_id):
            job = known or Job(id=job_id, state=JobState.DONE, request=workspace.request)
            job = job.model_copy(update={"state": JobState.DONE, "adapter": workspace.adapter, "error": ""})
        elif known and known.state in OPEN:
            job = known.model_copy(update={"state": JobState.QUEUED})
        else:
            self.store.clear_starts(job_id)
            job = Job(id=job_id, state=JobState.QUEUED, request=workspace.request)
        self.store.clear_cancel(job_id)
        self.store.write(job)
        return job

    def _enqueue(self, job_id: str, enqueue: Enqueue) -> None:
        self.store.mark_enqueued(job_id, BELIEVED_S)  # first, since a worker that has the message takes the mark away
        try:
            enqueue(job_id)
        except ServiceError:
            self.store.clear_enqueued(job_id)
            raise

    def cancel(self, job_id: str) -> Job:
        """End a queued or running job; a running one is FAILED within seconds, once its worker has ended it."""
        job = self.store.read(job_id)
        if job.state not in OPEN:
            raise Conflict(f"job {job_id} is {job.state} and cannot be cancelled")
        self.store.cancel(job_id)
        with self.store.lock(job_id, LOCK_WAIT_S) as free:
            job = self.store.read(job_id)
            if free and job.state in OPEN:
                job = cancelled(self.store, job)
        return job

    def recover(self, enqueue: Enqueue) -> list[str]:
        """Enqueue what a dead worker or a lost message left; returns the ids in the order of submission.

        Call it as often as you like: what waits on the queue is not enqueued again, but for once in `BELIEVED_S` seconds.
        """
        recovered = []
        for job in self.store.all():
            if job.state in OPEN and not self._waits(job):
                with suppress(LockLost), self.store.lock(job.id) as free:
                    if free and self._is_left(job.id):
                        self._enqueue(job.id, enqueue)
                        recovered.append(job.id)
        return recovered

    def _waits(self, job: Job) -> bool:
        return job.state is JobState.QUEUED and self.store.is_enqueued(job.id) and not self.store.is_cancelled(job.id)

    def _is_left(self, job_id: str) -> bool:
        """Whether the job, whose lock is held here, is to be enqueued; settles it where it is not."""
        job = self.store.read(job_id)
        if job.state not in OPEN or self._waits(job):
            return False
        if self.store.is_cancelled(job_id):
            cancelled(self.store, job)
            return False
        if self.store.starts(job_id) >= MOST_DEATHS:
            self.store.write(failed(job, "ServiceError", TOO_MANY_DEATHS))
            return False
        self.store.write(job.model_copy(update={"state": JobState.QUEUED}))
        return True


def cancelled(store: JobStore, job: Job) -> Job:
    """Write `job`, whose lock is held, as cancelled, and forget that this was asked for."""
    job = failed(job, "ServiceError", "cancelled")
    store.write(job)
    store.clear_cancel(job.id)
    return job
