"""Routes: POST and GET /v1/jobs, GET and DELETE /v1/jobs/{id}, GET /v1/jobs/{id}/events, POST and GET /v1/jobs/{id}/merge, GET /metrics."""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.sse import EventSourceResponse

from askback.contracts.trainer import Job, TrainRequest
from askback.contracts.trainer_jobs import Merge
from services.serving import Readiness, always_ready, create_service
from services.trainer.core import Enqueue, Jobs
from services.trainer.job_events import follow
from services.trainer.merges import Merges
from services.trainer.prometheus_metrics import PrometheusMetrics


def create_app(
    jobs: Jobs, enqueue: Enqueue, ready: Readiness = always_ready, merges: Merges | None = None, metrics: PrometheusMetrics | None = None
) -> FastAPI:
    """The trainer's HTTP face; without `merges` or `metrics` it has no routes for them.

    Routes are plain functions, which FastAPI runs in threads, since all of them wait for disks.
    """
    router = APIRouter(prefix="/v1")

    @router.post("/jobs")
    def submit(request: TrainRequest) -> Job:
        return jobs.submit(request, enqueue)

    @router.get("/jobs")
    def listing() -> list[Job]:
        return jobs.store.all()

    @router.get("/jobs/{job_id}")
    def job(job_id: str) -> Job:
        return jobs.store.read(job_id)

    @router.get("/jobs/{job_id}/events", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
    async def events(job_id: str, caller: Request) -> EventSourceResponse:
        return await follow(lambda: jobs.store.read(job_id), caller)

    @router.delete("/jobs/{job_id}")
    def cancel(job_id: str) -> Job:
        return jobs.cancel(job_id)

    if merges:
        _add_merges(router, merges)
    whole = APIRouter()
    whole.include_router(router)
    if metrics:
        _add_metrics(whole, metrics)
    return create_service("trainer", whole, ready)


def _add_merges(router: APIRouter, merges: Merges) -> None:
    @router.post("/jobs/{job_id}/merge")
    def submit_merge(job_id: str) -> Merge:
        return merges.submit(job_id)

    @router.get("/jobs/{job_id}/merge")
    def merge(job_id: str) -> Merge:
        return merges.read(job_id)


def _add_metrics(router: APIRouter, metrics: PrometheusMetrics) -> None:
    @router.get("/metrics", response_class=Response)
    def shown() -> Response:
        return Response(metrics.render(), media_type=metrics.content_type)
