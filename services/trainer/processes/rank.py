"""One of the processes that train a job together: `python -m services.trainer.processes.rank JOB_ID`, started by `accelerate launch`."""

import logging
import os
import sys

from askback.contracts.errors import ServiceError
from askback.contracts.trainer import Job
from services.trainer.failure import failed_by
from services.trainer.learning.training import train
from services.trainer.model.torch_card import is_first
from services.trainer.processes.launch import Reports
from services.trainer.processes.process import die_with_parent
from services.trainer.records.job_stores import job_store
from services.trainer.settings import Settings

log = logging.getLogger(__name__)


def main(job_id: str) -> int:
    """Train; the outcome is reported to the process that started all of them, which holds the job's lock."""
    die_with_parent()
    logging.basicConfig(
        level=logging.INFO if is_first() else logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    settings = Settings.from_environment()
    reports = Reports(job_store(settings).folder(job_id))
    job = reports.read(job_id)
    try:
        _check_company(job)
        job = train(settings, reports, job)
    except Exception as error:  # the process's border: whatever ends the job is reported
        log.exception("job %s failed", job_id)
        reports.fail(failed_by(job, error))
        return 1
    if is_first():
        reports.write(job)
    return 0


def _check_company(job: Job) -> None:
    """Raise ServiceError unless as many processes train as share the rows: fewer would train on a part of every step."""
    there, wanted = int(os.environ.get("WORLD_SIZE", "1")), job.request.recipe.gpus
    if there != wanted:
        raise ServiceError(f"recipe.gpus: {wanted} processes are to train together and {there} were started; train with gpus = 1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
