"""The training process: `python -m services.trainer.processes.job JOB_ID`. Exit code 0 also when another process trains the job."""

import logging
import os
import signal
import sys
from typing import NoReturn

from askback.contracts.trainer import Job, JobState
from services.trainer.core import MOST_DEATHS, OPEN, TOO_MANY_DEATHS
from services.trainer.failure import failed, failed_by
from services.trainer.learning.checkpoints import last_checkpoint
from services.trainer.processes import launch
from services.trainer.processes.gpu_turn import take_turn
from services.trainer.processes.process import LOCK_LOST, die_with_parent
from services.trainer.records.job_stores import job_store
from services.trainer.records.jobs import JobStore, LockLost
from services.trainer.settings import Settings

log = logging.getLogger(__name__)

LOCK_WAIT_S = 2.0  # a submission or a status check may hold the lock for a moment


def main(job_id: str) -> int:
    """Train `job_id` under its lock; the outcome is in its record."""
    die_with_parent()
    signal.signal(signal.SIGTERM, _end)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.from_environment()
    try:
        return _train(settings, job_store(settings), job_id)
    except LockLost as error:
        log.error("%s", error)
        return LOCK_LOST


def _train(settings: Settings, store: JobStore, job_id: str) -> int:
    with store.lock(job_id, LOCK_WAIT_S) as held:
        if not held:
            log.info("job %s is trained by another process", job_id)
            return 0
        job = store.read(job_id)
        if job.state not in OPEN:
            log.info("job %s is %s already", job_id, job.state)
            return 0
        if store.starts(job_id) >= MOST_DEATHS:
            store.write(failed(job, "ServiceError", TOO_MANY_DEATHS))
            return 0
        store.count_start(job_id)
        job = _begun(store, job)
        store.write(job)
        return _run(settings, store, job)


def _begun(store: JobStore, job: Job) -> Job:
    """`job` as RUNNING; without the fit to another machine's card, where that machine kept the checkpoints."""
    job = job.model_copy(update={"state": JobState.RUNNING})
    if last_checkpoint(store.checkpoints(job.id)):
        return job
    if job.progress.step:
        log.warning("job %s had come to step %d; its checkpoints are not on this machine, so it starts over", job.id, job.progress.step)
    return job.model_copy(update={"fit": None})


def _end(*_: object) -> NoReturn:
    """End by an exception, so that the lock is given back at once."""
    raise SystemExit(128 + signal.SIGTERM)


def _run(settings: Settings, store: JobStore, job: Job) -> int:
    def waiting(text: str) -> None:
        store.write(job.model_copy(update={"progress": job.progress.model_copy(update={"note": text})}))

    try:
        take_turn(settings, job, waiting)
        job = launch.run(settings, store, job)
    except LockLost:
        raise
    except Exception as error:  # the process's border: whatever ends the job is written into its record
        log.exception("job %s failed", job.id)
        store.write(failed_by(store.read(job.id), error))
        return 1
    store.write(job)
    return 0


def _leave(code: int) -> NoReturn:
    """End at once: putting torch's modules away takes seconds, in which a cancelled job would still hold its card."""
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    try:
        ended = main(sys.argv[1])
    except SystemExit as asked:
        if not isinstance(asked.code, int):
            raise
        ended = asked.code
    _leave(ended)
