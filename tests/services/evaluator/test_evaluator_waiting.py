"""Small runs are scored before the answer, others by a worker; one run is worked on by one alone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from askback.contracts import errors
from askback.contracts.client import EvaluatorClient
from askback.contracts.evaluator import ReportRequest, ReportResponse, ScoreJob, ScoreRequest
from services.evaluator import jobs, workload
from services.evaluator.app import create_app
from services.evaluator.jobs import ScoreQueue, work
from services.evaluator.prometheus_metrics import PrometheusMetrics
from services.evaluator.reports import Reports
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import RunFolder
from services.evaluator.storage.run_turn import alone
from services.evaluator.storage.runs import Runs

REQUEST = ScoreRequest(run_id="demo-1", task="strategyqa")


@dataclass
class Records:
    """Job records in a dictionary; with `down` nothing can be written."""

    down: bool = False
    jobs: dict[str, ScoreJob] = field(default_factory=dict)

    def write(self, job: ScoreJob) -> None:
        if self.down:
            raise errors.UpstreamUnavailable("redis cannot be reached")
        self.jobs[job.id] = job

    def read(self, job_id: str) -> ScoreJob:
        if job_id not in self.jobs:
            raise errors.NotFound(f"scoring job {job_id!r}: no such id")
        return self.jobs[job_id]

    def missing(self) -> str:
        return "redis cannot be reached" if self.down else ""


@dataclass
class Stage:
    """The service over `runs_dir`, with whatever it queued and reported."""

    runs: Runs
    records: Records = field(default_factory=Records)
    queued: list[str] = field(default_factory=list)
    reporting: list[str] = field(default_factory=list)
    slow: threading.Event = field(default_factory=threading.Event)

    def enqueue(self, job_id: str, request: ScoreRequest) -> None:
        self.queued.append(job_id)

    def publish(self, run: RunFolder) -> list[str]:
        self.reporting.append(run.run_id)
        assert len(self.reporting) == 1, "two reports at a time"
        time.sleep(0.05)
        self.reporting.clear()
        return ["report.md"]

    def client(self) -> EvaluatorClient:
        metrics = PrometheusMetrics(lambda: 2)
        app = create_app(ScoreQueue(self.runs, self.records, self.enqueue, metrics), Reports(self.runs, self.publish, metrics), self.runs, metrics)
        return EvaluatorClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://evaluator"))


@pytest.fixture
def stage(runs_dir: Path) -> Stage:
    return Stage(Runs(runs_dir))


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[EvaluatorClient]:
    async with stage.client() as client:
        yield client


async def test_a_small_run_is_scored_before_the_answer_and_its_record_stands(client: EvaluatorClient, stage: Stage, small_run: Path) -> None:
    answer = await client.send("POST", "/v1/scores", REQUEST)
    job = ScoreJob.model_validate_json(answer.content)
    assert (answer.status_code, job.state, stage.queued) == (200, "done", [])
    assert job.scores is not None and job.scores.n == 36
    assert await client.job(job.id) == job
    assert (small_run / "scores.json").is_file()


async def test_a_large_run_goes_to_a_worker(client: EvaluatorClient, stage: Stage, small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "_LOOKED_INTO_BYTES", 1000)
    answer = await client.send("POST", "/v1/scores", REQUEST)
    job = ScoreJob.model_validate_json(answer.content)
    assert (answer.status_code, job.state, stage.queued) == (202, "queued", [job.id])
    assert (await client.submit(REQUEST.model_copy(update={"wait": True}))).state == "done"


async def test_the_caller_may_say_that_it_will_not_wait(client: EvaluatorClient, stage: Stage, small_run: Path) -> None:
    job = await client.submit(REQUEST.model_copy(update={"wait": False}))
    assert (job.state, stage.queued) == ("queued", [job.id])
    assert not (small_run / "scores.json").exists()


async def test_what_is_wrong_with_a_small_run_is_the_answer(client: EvaluatorClient, stage: Stage, small_run: Path) -> None:
    (small_run / "predictions" / "base.direct.jsonl").write_text('{"sample_id": "q0", "answer": "no"}\n')
    with pytest.raises(errors.InvalidInput, match=r"base\.direct\.jsonl: sample_id 'q1' has no prediction"):
        await client.submit(REQUEST)
    (small_run / "samples" / "dev.jsonl").unlink()
    with pytest.raises(errors.InvalidInput, match=r"samples/dev\.jsonl: no such file"):
        await client.submit(REQUEST)
    assert stage.queued == []


async def test_a_small_run_is_scored_without_redis(client: EvaluatorClient, stage: Stage, small_run: Path) -> None:
    stage.records.down = True
    assert (await client.submit(REQUEST)).state == "done"
    with pytest.raises(errors.UpstreamUnavailable):
        await client.submit(REQUEST.model_copy(update={"wait": False}))


def test_a_job_that_is_delivered_twice_is_scored_once(stage: Stage, small_run: Path) -> None:
    first = work("j", REQUEST, stage.runs, stage.records)
    written = (small_run / "scores.json").stat().st_mtime_ns
    assert work("j", REQUEST, stage.runs, stage.records) == first
    assert (small_run / "scores.json").stat().st_mtime_ns == written


def test_one_run_is_scored_by_one_at_a_time(stage: Stage, small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    counting = threading.Lock()

    def watched(*arguments: object) -> object:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)
        try:
            return score_run(*arguments)  # type: ignore[arg-type]
        finally:
            with counting:
                inside -= 1

    monkeypatch.setattr(jobs, "score_run", watched)
    threads = [threading.Thread(target=work, args=[f"j{i}", REQUEST, stage.runs, stage.records]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 1
    assert {stage.records.jobs[f"j{i}"].state for i in range(4)} == {"done"}


def test_who_waits_too_long_for_a_run_is_told(small_run: Path) -> None:
    run = RunFolder(small_run)
    with alone(run), pytest.raises(errors.Conflict, match=r"run 'demo-1': is being scored or reported"), alone(run, patience_s=0.1):
        pass
    with alone(run, patience_s=0):
        pass


async def test_reports_are_written_one_at_a_time(client: EvaluatorClient, small_run: Path) -> None:
    answers = await gathered(client, 3)
    assert [answer.files for answer in answers] == [["report.md"]] * 3


async def gathered(client: EvaluatorClient, count: int) -> list[ReportResponse]:
    return await asyncio.gather(*(client.report(ReportRequest(run_id="demo-1")) for _ in range(count)))


async def test_requests_have_an_id_and_are_counted(client: EvaluatorClient, small_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "services.evaluator.door")
    await client.submit(REQUEST)
    await client.report(ReportRequest(run_id="demo-1"))
    with pytest.raises(errors.NotFound):
        await client.job("nobody")
    answer = await client.send("GET", "/metrics", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'askback_evaluator_requests_total{route="/v1/scores",status="200"} 1.0',
        'askback_evaluator_requests_total{route="/v1/scores/{id}",status="404"} 1.0',
        'askback_evaluator_scored_total{outcome="done"} 1.0',
        'askback_evaluator_reported_total{outcome="done"} 1.0',
        "askback_evaluator_scoring_seconds_count 1.0",
    ):
        assert line in answer.text.splitlines()
    refused = [record for record in caplog.records if record.message == "refused"]
    assert [(record.route, record.status) for record in refused] == [("/v1/scores/{id}", 404)]  # type: ignore[attr-defined]
