"""One of the processes that train a job together: `python -m services.trainer.rank JOB_ID`, started by `accelerate launch`."""

import logging
import sys

from services.trainer.failure import failed_by
from services.trainer.job_stores import job_store
from services.trainer.process import die_with_parent
from services.trainer.settings import Settings
from services.trainer.torch_card import is_first
from services.trainer.training import train

log = logging.getLogger(__name__)


def main(job_id: str) -> int:
    """Train; the first process leaves the outcome in the job's record. The process that started all of them holds the job's lock."""
    die_with_parent()
    logging.basicConfig(
        level=logging.INFO if is_first() else logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    settings = Settings.from_environment()
    store = job_store(settings)
    try:
        job = train(settings, store, store.read(job_id))
    except Exception as error:  # the process's border: whatever ends the job is written into its record
        log.exception("job %s failed", job_id)
        if is_first():
            store.write(failed_by(store.read(job_id), error))
        return 1
    if is_first():
        store.write(job)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
