"""A scoring job from submission to result. The task never raises what the caller should read: it records it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from askback.contracts.errors import ServiceError
from askback.contracts.evaluator import ScoreJob, ScoreRequest
from askback.tasks import task_named
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import open_run

log = logging.getLogger(__name__)


class JobRecords(Protocol):
    """Where jobs are written down."""

    def write(self, job: ScoreJob) -> None: ...

    def read(self, job_id: str) -> ScoreJob:
        """Raises NotFound for an unknown id."""
        ...

    def missing(self) -> str:
        """Empty when the records can be reached, else what is wrong."""
        ...


class ScoreQueue:
    """Submits jobs to a worker and says where they stand."""

    def __init__(self, records: JobRecords, enqueue: Callable[[str, ScoreRequest], None]) -> None:
        self._records = records
        self._enqueue = enqueue

    def submit(self, request: ScoreRequest) -> ScoreJob:
        """Record the job, then hand its id to the workers."""
        job = ScoreJob(id=uuid4().hex, state="queued")
        self._records.write(job)  # first, so that a fast worker's `running` is never overwritten
        self._enqueue(job.id, request)
        return job

    def job(self, job_id: str) -> ScoreJob:
        return self._records.read(job_id)


def work(job_id: str, request: ScoreRequest, runs_dir: Path, records: JobRecords) -> ScoreJob:
    """Score the run and record the outcome; taken up again after a worker's death it gives the same result."""
    records.write(ScoreJob(id=job_id, state="running"))
    try:
        scores = score_run(open_run(runs_dir, request.run_id), task_named(request.task), request.seed)
        job = ScoreJob(id=job_id, state="done", scores=scores)
    except ServiceError as error:
        job = ScoreJob(id=job_id, state="failed", error=str(error), error_kind=type(error).__name__)
    except Exception as error:
        log.exception("scoring %s failed", request.run_id)
        records.write(ScoreJob(id=job_id, state="failed", error=f"{type(error).__name__}: {error}"))
        raise
    records.write(job)
    return job
