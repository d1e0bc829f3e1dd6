"""Celery's entry point for merges, on the trainings' queue, which every worker of `tasks` loads."""

import logging
from typing import Any

from celery.signals import worker_ready
from kombu.exceptions import OperationalError

from askback.contracts.errors import ServiceError, UpstreamUnavailable
from services.trainer.core import Jobs
from services.trainer.merges import merge_store
from services.trainer.processes.process import supervise
from services.trainer.recovery import recover_jobs
from services.trainer.tasks import SETTINGS, SHUTDOWN, app, missing_broker

log = logging.getLogger(__name__)

STORE = merge_store(SETTINGS)


@app.task(name="trainer.merge")  # type: ignore[untyped-decorator]
def merge(job_id: str) -> None:
    """Merge one job's adapter in a process of its own. A message for a merge that is over or runs is a no-op."""
    supervise(STORE, job_id, SHUTDOWN, module="services.trainer.processes.merge")


def enqueue_merge(job_id: str) -> None:
    """Put the merge on the queue; raises UpstreamUnavailable when Redis takes no message."""
    try:
        merge.apply_async((job_id,), retry=False)
    except (OperationalError, OSError) as error:
        raise UpstreamUnavailable(f"{missing_broker()}; the merge of job {job_id} is kept, ask for it again") from error


@worker_ready.connect  # type: ignore[untyped-decorator]
def recover_merges(**_: Any) -> None:
    """Enqueue the merges that a killed worker left."""
    try:
        recover_jobs(Jobs(SETTINGS, STORE), enqueue_merge)
    except ServiceError as error:
        log.warning("cannot look for merges that were left: %s", error)
