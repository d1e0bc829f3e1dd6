"""A scoring job from submission to result. The task never raises what the caller should read: it records it."""

import logging
import time
from collections.abc import Callable
from typing import Protocol
from uuid import uuid4

from askback.contracts.errors import NotFound, ServiceError, UpstreamUnavailable
from askback.contracts.evaluator import ScoreJob, ScoreRequest, Scores
from askback.tasks import task_named
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_turn import alone
from services.evaluator.storage.runs import Runs
from services.evaluator.workload import at_once

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


class Meters(Protocol):
    """What is counted of the work."""

    def queued(self) -> None:
        """A job went to the workers."""
        ...

    def scored(self, outcome: str, seconds: float) -> None:
        """A run was scored before answering; `outcome` is `done` or an error's class."""
        ...


class ScoreQueue:
    """Scores small runs while the caller waits, hands the others to a worker, and says where jobs stand."""

    def __init__(self, runs: Runs, records: JobRecords, enqueue: Callable[[str, ScoreRequest], None], meters: Meters) -> None:
        self._runs, self._records, self._enqueue, self._meters = runs, records, enqueue, meters

    def submit(self, request: ScoreRequest) -> ScoreJob:
        """The job: `done`, or `queued` for a worker.

        Raises what is wrong with the run when it is scored here, and NotFound or InvalidInput for a run or task that does not exist.
        """
        task_named(request.task)
        run = self._runs.open(request.run_id)
        if at_once(run) if request.wait is None else request.wait:
            return self._score_now(request)
        job = ScoreJob(id=uuid4().hex, state="queued")
        self._records.write(job)  # first, so that a fast worker's `running` is never overwritten
        self._enqueue(job.id, request)
        self._meters.queued()
        return job

    def job(self, job_id: str) -> ScoreJob:
        return self._records.read(job_id)

    def _score_now(self, request: ScoreRequest) -> ScoreJob:
        began, outcome = time.monotonic(), "ServiceError"
        try:
            job = ScoreJob(id=uuid4().hex, state="done", scores=_scored(request, self._runs))
            outcome = job.state
        except ServiceError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._meters.scored(outcome, time.monotonic() - began)
        try:
            self._records.write(job)
        except UpstreamUnavailable as error:  # the caller has the scores, and so has the run's folder
            log.warning("job %s is not kept: %s", job.id, error)
        return job


def work(job_id: str, request: ScoreRequest, runs: Runs, records: JobRecords) -> ScoreJob:
    """Score the run and record the outcome; taken up again after a worker's death it gives the same result."""
    if done := _done_before(job_id, records):
        return done
    records.write(ScoreJob(id=job_id, state="running"))
    began = time.monotonic()
    try:
        job = ScoreJob(id=job_id, state="done", scores=_scored(request, runs))
    except ServiceError as error:
        job = ScoreJob(id=job_id, state="failed", error=str(error), error_kind=type(error).__name__)
    except Exception as error:
        log.exception("scoring %s failed", request.run_id)
        records.write(ScoreJob(id=job_id, state="failed", error=f"{type(error).__name__}: {error}"))
        raise
    records.write(job)
    log.info("scored", extra={"job": job_id, "run": request.run_id, "state": job.state, "seconds": round(time.monotonic() - began, 3)})
    return job


def _scored(request: ScoreRequest, runs: Runs) -> Scores:
    run = runs.open(request.run_id)
    with alone(run):
        return score_run(run, task_named(request.task), request.seed)


def _done_before(job_id: str, records: JobRecords) -> ScoreJob | None:
    """The job when another worker finished it: a message that takes longer than the queue's patience is delivered twice."""
    try:
        job = records.read(job_id)
    except NotFound:
        return None
    return job if job.state == "done" else None
