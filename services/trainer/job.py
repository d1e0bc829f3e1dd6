"""The training process: `python -m services.trainer.job JOB_ID`. Exit code 0 also when another process trains the job."""

import logging
import os
import sys

from askback.contracts.errors import ServiceError
from askback.contracts.trainer import Job, JobState
from services.trainer.core import failed
from services.trainer.gpu_turn import take_turn
from services.trainer.jobs import JobStore
from services.trainer.process import die_with_parent
from services.trainer.settings import Settings

log = logging.getLogger(__name__)

LOCK_WAIT_S = 2.0  # a submission or a status check may hold the lock for a moment


def main(job_id: str) -> int:
    """Train `job_id` under its lock; the outcome is in its job.json."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings.from_environment()
    store = JobStore(settings.jobs)
    with store.lock(job_id, LOCK_WAIT_S) as held:
        if not held:
            log.info("job %s is trained by another process", job_id)
            return 0
        job = store.read(job_id)
        if job.state in (JobState.DONE, JobState.FAILED):
            log.info("job %s is %s already", job_id, job.state)
            return 0
        store.count_start(job_id)
        job = job.model_copy(update={"state": JobState.RUNNING})
        store.write(job)
        return _run(settings, store, job)


def _run(settings: Settings, store: JobStore, job: Job) -> int:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # TRL refuses several visible cards in one process
    from services.trainer.training import train

    def waiting(text: str) -> None:
        store.write(job.model_copy(update={"progress": job.progress.model_copy(update={"note": text})}))

    try:
        take_turn(settings, job, waiting)
        job = train(settings, store, job)
    except Exception as error:  # the process's border: whatever ends the job is written into its record
        log.exception("job %s failed", job.id)
        kind = type(error).__name__ if isinstance(error, ServiceError) else "ServiceError"
        text = str(error) if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"
        store.write(failed(store.read(job.id), kind, text))
        return 1
    store.write(job)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
