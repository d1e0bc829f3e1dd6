"""Celery entry points of the evaluator: `celery -A services.evaluator.tasks worker --pool=solo -Q evaluator`."""

import os
from typing import Any

from celery import Celery
from celery.exceptions import OperationalError

from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.evaluator import ScoreRequest
from services.celery_queue import waiting

QUEUE = "evaluator"
DEFAULT_REDIS = "redis://127.0.0.1:6379/0"


def redis_url() -> str:
    return os.environ.get("REDIS_URL", DEFAULT_REDIS)


app = Celery("evaluator", broker=redis_url())
app.conf.update(
    task_default_queue=QUEUE,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,  # outcomes are ScoreJob records, see redis_jobs.py
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.2},
    broker_transport_options={
        # Unacknowledged messages of all Celery apps on one Redis lie under the same keys; without a prefix of its own this
        # worker's short timeout would send another service's hour-long job to a second worker.
        "global_keyprefix": "evaluator:",
        # Scoring takes seconds and may be repeated, so a killed worker's job is taken up after this many seconds.
        "visibility_timeout": float(os.environ.get("EVALUATOR_RETRY_S") or 60),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 5.0,
    },
)


@app.task(name="evaluator.score")  # type: ignore[untyped-decorator]
def score(job_id: str, request: dict[str, Any]) -> None:
    from services.evaluator.jobs import work
    from services.evaluator.storage.redis_jobs import RedisJobs
    from services.evaluator.storage.runs import Runs

    records = RedisJobs(redis_url())
    try:
        work(job_id, ScoreRequest.model_validate(request), Runs.of(os.environ), records)
    finally:
        records.close()


def enqueue(job_id: str, request: ScoreRequest) -> None:
    """Hand a job to the workers; raises UpstreamUnavailable when the broker cannot be reached."""
    try:
        score.apply_async(args=[job_id, request.model_dump(mode="json")])
    except OperationalError as error:
        raise UpstreamUnavailable(f"the queue cannot be reached: {error}") from error


def queued() -> int:
    """Messages that wait for a worker; raises UpstreamUnavailable when Redis does not answer."""
    return waiting(app, QUEUE, 3.0, "redis cannot be reached")
