"""Routes: POST and GET /v1/jobs, GET and DELETE /v1/jobs/{id}."""

from fastapi import APIRouter, FastAPI

from askback.contracts.trainer import Job, TrainRequest
from services.serving import Readiness, always_ready, create_service
from services.trainer.core import Enqueue, Jobs


def create_app(jobs: Jobs, enqueue: Enqueue, ready: Readiness = always_ready) -> FastAPI:
    """The trainer's HTTP face. Routes are plain functions, which FastAPI runs in threads, since all of them wait for disks."""
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

    @router.delete("/jobs/{job_id}")
    def cancel(job_id: str) -> Job:
        return jobs.cancel(job_id)

    return create_service("trainer", router, ready)
