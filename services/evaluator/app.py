"""Routes: POST /v1/scores, GET /v1/scores/{id}, GET /v1/leaderboard, POST /v1/reports, GET /metrics."""

from fastapi import APIRouter, Response

from askback.contracts.evaluator import Leaderboard, ReportRequest, ReportResponse, ScoreJob, ScoreRequest
from services.evaluator.door import Door
from services.evaluator.jobs import ScoreQueue
from services.evaluator.leaderboard import leaderboard
from services.evaluator.prometheus_metrics import PrometheusMetrics
from services.evaluator.reports import Reports
from services.evaluator.storage.runs import Runs
from services.serving import Readiness, always_ready, create_service


def create_app(queue: ScoreQueue, reports: Reports, runs: Runs, metrics: PrometheusMetrics, ready: Readiness = always_ready) -> Door:
    """The evaluator's HTTP face. Routes are plain functions, which FastAPI runs in threads, since all of them wait for disks or compute."""
    router = APIRouter()

    @router.post("/v1/scores", responses={202: {"model": ScoreJob}})
    def submit(request: ScoreRequest, response: Response) -> ScoreJob:
        job = queue.submit(request)
        response.status_code = 200 if job.state == "done" else 202
        return job

    @router.get("/v1/scores/{job_id}")
    def job(job_id: str) -> ScoreJob:
        return queue.job(job_id)

    @router.get("/v1/leaderboard")
    def best(task: str = "") -> Leaderboard:
        return leaderboard(runs, task)

    @router.post("/v1/reports")
    def report(request: ReportRequest) -> ReportResponse:
        return reports.write(request.run_id)

    @router.get("/metrics", response_class=Response)
    def shown() -> Response:
        return Response(metrics.render(), media_type=metrics.content_type)

    return Door(create_service("evaluator", router, ready), metrics)
