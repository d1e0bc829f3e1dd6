"""HTTP face of the evaluator."""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI

from askback.contracts.evaluator import ReportRequest, ReportResponse, ScoreJob, ScoreRequest
from askback.tasks import task_named
from services.evaluator.jobs import ScoreQueue
from services.evaluator.storage.run_folder import RunFolder, open_run
from services.serving import Readiness, always_ready, create_service


def create_app(queue: ScoreQueue, publish: Callable[[RunFolder], list[str]], runs_dir: Path, ready: Readiness = always_ready) -> FastAPI:
    """Routes over a queue of scoring jobs; `publish` writes a run's report and returns its files."""
    router = APIRouter()

    @router.post("/v1/scores")
    def submit(request: ScoreRequest) -> ScoreJob:
        task_named(request.task)
        open_run(runs_dir, request.run_id)
        return queue.submit(request)

    @router.get("/v1/scores/{job_id}")
    def job(job_id: str) -> ScoreJob:
        return queue.job(job_id)

    @router.post("/v1/reports")
    def report(request: ReportRequest) -> ReportResponse:
        return ReportResponse(files=publish(open_run(runs_dir, request.run_id)))

    return create_service("evaluator", router, ready)
