"""Celery entry points: `celery -A services.trainer.tasks worker --pool=solo -Q trainer -n trainer@%h`."""

import logging
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down
from kombu.exceptions import OperationalError

from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from services.celery_queue import waiting
from services.trainer.core import Jobs
from services.trainer.processes.gpu_turn import give_turn_back
from services.trainer.processes.process import supervise
from services.trainer.records.job_stores import job_store
from services.trainer.recovery import recover_jobs
from services.trainer.settings import Settings
from services.trainer.storage.workspace import runs_at

log = logging.getLogger(__name__)

QUEUE = "trainer"
BROKER_TIMEOUT_S = 3.0


@dataclass
class _Shutdown:
    requested: bool = False


def _settings() -> Settings:
    """The environment's; one that cannot be ends the process with one line, since Celery would print a traceback."""
    try:
        settings = Settings.from_environment()
        job_store(settings)
        runs_at(settings)
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    return settings


SETTINGS = _settings()
STORE = job_store(SETTINGS)
SHUTDOWN = _Shutdown()
app = Celery("askback-trainer", broker=SETTINGS.redis_url, include=["services.trainer.merge_tasks"])
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "global_keyprefix": f"{SETTINGS.queue_prefix}trainer:",
        "socket_connect_timeout": BROKER_TIMEOUT_S,
        "socket_timeout": BROKER_TIMEOUT_S,
        "max_retries": 1,  # with kombu's own pauses a submission without Redis would wait for six seconds
        "interval_start": 0,
        "interval_step": 0,
    },
)


@app.task(name="trainer.train")  # type: ignore[untyped-decorator]
def train(job_id: str) -> None:
    """Train one job in its own process. A message for a job that is over or runs is a no-op."""
    if supervise(STORE, job_id, SHUTDOWN, gpu_lock=SETTINGS.gpu_lock):
        give_turn_back(SETTINGS, STORE.read(job_id))


def enqueue(job_id: str) -> None:
    """Put the job on the queue; raises UpstreamUnavailable when Redis takes no message."""
    try:
        train.apply_async((job_id,), retry=False)
    except (OperationalError, OSError) as error:
        raise UpstreamUnavailable(f"{missing_broker()}; the job {job_id} is kept, submit it again") from error


def broker_missing() -> str:
    """Empty when Redis answers, else the readiness text."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=BROKER_TIMEOUT_S)
    except (OperationalError, OSError):
        return missing_broker()
    return ""


def queued() -> int:
    """Messages that wait for a worker; raises UpstreamUnavailable when Redis does not answer."""
    return waiting(app, QUEUE, BROKER_TIMEOUT_S, missing_broker())


def missing_broker() -> str:
    address = urlsplit(SETTINGS.redis_url)  # without the password
    return f"redis at {address.hostname}:{address.port or 6379} cannot be reached"


@worker_ready.connect  # type: ignore[untyped-decorator]
def recover(**_: Any) -> None:
    """Enqueue what a killed worker left, at once rather than after the broker's visibility timeout."""
    try:
        recover_jobs(Jobs(SETTINGS, STORE), enqueue)
    except ServiceError as error:  # the service looks again soon
        log.warning("cannot look for jobs that were left: %s", error)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def stop(**_: Any) -> None:
    """Let a running training go, so that the worker ends within seconds; the next one resumes it."""
    SHUTDOWN.requested = True
