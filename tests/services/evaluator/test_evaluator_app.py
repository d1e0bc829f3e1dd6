from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from askback.contracts import errors
from askback.contracts.client import EvaluatorClient
from askback.contracts.evaluator import ReportRequest, ScoreJob, ScoreRequest
from services.evaluator.app import create_app
from services.evaluator.jobs import ScoreQueue, work
from services.evaluator.prometheus_metrics import PrometheusMetrics
from services.evaluator.reporting.publishing import publish
from services.evaluator.reports import Reports
from services.evaluator.storage.runs import Runs


class MemoryRecords:
    """Job records in a dictionary, with every state that each job went through."""

    def __init__(self) -> None:
        self.jobs: dict[str, ScoreJob] = {}
        self.states: list[str] = []

    def write(self, job: ScoreJob) -> None:
        self.jobs[job.id] = job
        self.states.append(job.state)

    def read(self, job_id: str) -> ScoreJob:
        if job_id not in self.jobs:
            raise errors.NotFound(f"scoring job {job_id!r}: no such id")
        return self.jobs[job_id]

    def missing(self) -> str:
        return ""


class LateWorker:
    """Keeps what was queued until it is told to work."""

    def __init__(self, records: MemoryRecords, runs_dir: Path) -> None:
        self.records, self.runs_dir = records, runs_dir
        self.queued: list[tuple[str, ScoreRequest]] = []

    def enqueue(self, job_id: str, request: ScoreRequest) -> None:
        self.queued.append((job_id, request))

    def run(self) -> None:
        for job_id, request in self.queued:
            work(job_id, request, Runs(self.runs_dir), self.records)


@pytest.fixture
def records() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
def worker(records: MemoryRecords, runs_dir: Path) -> LateWorker:
    return LateWorker(records, runs_dir)


@pytest.fixture
async def client(records: MemoryRecords, worker: LateWorker, runs_dir: Path) -> AsyncIterator[EvaluatorClient]:
    runs, metrics = Runs(runs_dir), PrometheusMetrics(lambda: 2)
    app = create_app(ScoreQueue(runs, records, worker.enqueue, metrics), Reports(runs, publish, metrics), runs, metrics)
    async with EvaluatorClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://evaluator")) as client:
        yield client


async def test_a_job_goes_from_queued_to_done(client: EvaluatorClient, worker: LateWorker, records: MemoryRecords, small_run: Path) -> None:
    job = await client.submit(ScoreRequest(run_id="demo-1", task="strategyqa", wait=False))
    assert (job.state, job.scores) == ("queued", None)
    assert await client.job(job.id) == job
    worker.run()
    done = await client.job(job.id)
    assert done.state == "done" and done.scores is not None and done.scores.n == 36
    assert records.states == ["queued", "running", "done"]


async def test_a_failed_job_keeps_its_error(client: EvaluatorClient, worker: LateWorker, small_run: Path) -> None:
    (small_run / "predictions" / "base.direct.jsonl").write_text('{"sample_id": "q0", "answer": "no"}\n')
    job = await client.submit(ScoreRequest(run_id="demo-1", task="strategyqa", wait=False))
    worker.run()
    failed = await client.job(job.id)
    assert (failed.state, failed.error_kind) == ("failed", "InvalidInput")
    assert failed.error == "demo-1/predictions/base.direct.jsonl: sample_id 'q1' has no prediction; finish the evaluate stage"


def test_a_defect_is_recorded_and_raised(records: MemoryRecords, small_run: Path) -> None:
    (small_run / "scores.json").mkdir()
    with pytest.raises(IsADirectoryError):
        work("j", ScoreRequest(run_id="demo-1", task="strategyqa"), Runs(small_run.parent), records)
    assert (records.jobs["j"].state, records.jobs["j"].error_kind) == ("failed", "ServiceError")
    assert "IsADirectoryError" in records.jobs["j"].error


async def test_what_does_not_exist_is_said_at_once(client: EvaluatorClient, worker: LateWorker, small_run: Path) -> None:
    with pytest.raises(errors.NotFound, match="'absent'"):
        await client.submit(ScoreRequest(run_id="absent", task="strategyqa"))
    with pytest.raises(errors.InvalidInput, match="unknown task 'chess'"):
        await client.submit(ScoreRequest(run_id="demo-1", task="chess"))
    with pytest.raises(errors.NotFound, match="'nobody'"):
        await client.job("nobody")
    with pytest.raises(errors.NotFound, match="'absent'"):
        await client.report(ReportRequest(run_id="absent"))
    assert worker.queued == []


async def test_a_run_id_with_a_path_is_refused(client: EvaluatorClient) -> None:
    answer = await client._http.post("/v1/scores", json={"run_id": "../etc", "task": "strategyqa"})
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidInput")
    assert "run_id" in answer.json()["detail"]


async def test_report_needs_scores_and_names_its_files(client: EvaluatorClient, worker: LateWorker, full_run: Path) -> None:
    with pytest.raises(errors.Conflict, match=r"scores\.json is missing"):
        await client.report(ReportRequest(run_id="demo-1"))
    await client.submit(ScoreRequest(run_id="demo-1", task="strategyqa"))
    worker.run()
    files = (await client.report(ReportRequest(run_id="demo-1"))).files
    assert files[:3] == ["report.html", "report.md", "slides.pptx"]
    assert all((full_run / file).stat().st_size > 500 for file in files)
