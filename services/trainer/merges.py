"""Merges of adapters into whole weights, each for one finished job.

A merge is kept as a job of a store of its own: a folder or keys beside the trainings', with the same locks, marks and recovery.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from askback.contracts.errors import Conflict, NotFound, ServiceError
from askback.contracts.trainer import Job, JobState
from askback.contracts.trainer_jobs import Merge, MergeState
from services.trainer.core import BELIEVED_S, LOCK_WAIT_S, Enqueue
from services.trainer.records.job_stores import job_store
from services.trainer.records.jobs import JobStore
from services.trainer.settings import Settings
from services.trainer.storage.runs import Runs, parsed

RECORD = "merge.json"
"""Written last into the merged model's folder, so that its presence means that the folder is whole."""


def merge_store(settings: Settings) -> JobStore:
    """The records of the merges: `merges/` in JOBS_DIR, or keys of their own in Redis."""
    return job_store(replace(settings, jobs=settings.jobs / "merges", queue_prefix=f"{settings.queue_prefix}merges:"))


def merged_folder(job: Job) -> str:
    """The merged model's folder, relative to the run's."""
    return f"adapters/{job.request.name}-merged"


def merged_record(runs: Runs, job: Job) -> dict[str, Any] | None:
    """`merge.json` of the job's merge; None when it is not whole yet. Raises Conflict when its folder holds something else."""
    run, folder = job.request.run_id, merged_folder(job)
    path: Path = runs.folder("name", run, folder, (RECORD,)) / RECORD
    record = parsed(path, path.read_bytes()) if path.is_file() else None
    owner = runs.owner(run, folder)
    if record is None and owner is None:
        return None
    if (record.get("job_id") if record else owner and owner.job_id) != job.id:
        raise Conflict(f"name: {folder} holds something that is no merge of job {job.id}; remove the folder or train under another name")
    return record


class Merges:
    """The merges of one trainer's jobs. Methods wait for disks, so call them off the event loop."""

    def __init__(self, runs: Runs, jobs: JobStore, store: JobStore, enqueue: Enqueue) -> None:
        self._runs, self._jobs, self._store, self._enqueue = runs, jobs, store, enqueue

    def submit(self, job_id: str) -> Merge:
        """The merge of the job's adapter, enqueued unless it is done or runs.

        Raises NotFound for an unknown job, Conflict for one that is not done or when the merge's folder holds something else.
        """
        job = self._jobs.read(job_id)
        if job.state is not JobState.DONE:
            raise Conflict(f"job {job_id} is {job.state}; only the adapter of a job that is done can be merged")
        with self._store.lock(job_id, LOCK_WAIT_S) as free:
            if not free:
                return _seen(self._store.read(job_id))
            whole = merged_record(self._runs, job) is not None
            merge = _merge_of(job, JobState.DONE if whole else JobState.QUEUED)
            self._store.clear_cancel(job_id)
            self._store.clear_starts(job_id)
            self._store.write(merge)
        if not whole:
            self._enqueue_once(job_id)
        return _seen(merge)

    def read(self, job_id: str) -> Merge:
        """Raises NotFound for an unknown job, and for one whose merge was never asked for."""
        self._jobs.read(job_id)
        merge = self._store.find(job_id)
        if merge is None:
            raise NotFound(f"job {job_id} has no merge; ask for it with POST /v1/jobs/{job_id}/merge")
        return _seen(merge)

    def _enqueue_once(self, job_id: str) -> None:
        self._store.mark_enqueued(job_id, BELIEVED_S)  # first, since a worker that has the message takes the mark away
        try:
            self._enqueue(job_id)
        except ServiceError:
            self._store.clear_enqueued(job_id)
            raise


def _merge_of(job: Job, state: JobState) -> Job:
    return Job(id=job.id, state=state, request=job.request, adapter=merged_folder(job) if state is JobState.DONE else "")


def _seen(merge: Job) -> Merge:
    return Merge(job_id=merge.id, state=MergeState(merge.state), folder=merge.adapter, error=merge.error, error_kind=merge.error_kind)
