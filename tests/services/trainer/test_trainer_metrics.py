"""What the trainer's /metrics tells of jobs and queue, and that it answers without Redis or with a damaged record."""

from pathlib import Path

import httpx
import pytest
import redis
from kombu import Connection

from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, Progress, TrainRequest
from services.trainer import tasks
from services.trainer.app import create_app
from services.trainer.core import Jobs
from services.trainer.prometheus_metrics import PrometheusMetrics
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.records.jobs import JobStore
from services.trainer.settings import Settings

REQUEST = TrainRequest(run_id="r1", name="direct-1", dataset="tracks/a.jsonl")


def write(store: JobStore, number: int, state: JobState, progress: Progress | None = None) -> str:
    job = Job(id=f"{number:016x}", state=state, request=REQUEST, progress=progress or Progress())
    with store.lock(job.id):
        store.write(job)
    return job.id


def without_redis() -> int:
    raise UpstreamUnavailable("redis at 127.0.0.1:1 cannot be reached")


def samples(metrics: PrometheusMetrics) -> dict[str, float]:
    """Values by name and labels, without the prefix."""
    lines = metrics.render().decode().splitlines()
    return {name.removeprefix("askback_trainer_"): float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_jobs_are_counted_by_kind_and_state(settings: Settings, tmp_path: Path) -> None:
    trainings, merges = FolderJobs(settings.jobs), FolderJobs(tmp_path / "merges")
    for number, state in enumerate((JobState.QUEUED, JobState.QUEUED, JobState.DONE, JobState.FAILED)):
        write(trainings, number, state)
    write(merges, 9, JobState.RUNNING)
    seen = samples(PrometheusMetrics({"train": trainings, "merge": merges}, lambda: 2))
    assert [seen[f'jobs{{kind="train",state="{state}"}}'] for state in JobState] == [2, 0, 1, 1]
    assert [seen[f'jobs{{kind="merge",state="{state}"}}'] for state in JobState] == [0, 1, 0, 0]
    assert (seen["queue"], seen["redis_up"]) == (2, 1)
    assert not [key for key in seen if key.startswith("step")]


def test_a_training_that_runs_shows_where_it_stands(store: JobStore) -> None:
    progress = Progress(step=3, total_steps=12, loss=1.5, tokens_per_s=834.0, seconds_left=60.0, memory_gib=2.0)
    write(store, 1, JobState.RUNNING, progress)
    seen = samples(PrometheusMetrics({"train": store}, lambda: 0))
    names = ("step", "steps", "loss", "tokens_per_second", "seconds_left", "memory_bytes")
    assert [seen[f'{name}{{adapter="direct-1",run="r1"}}'] for name in names] == [3, 12, 1.5, 834, 60, 2 * 2**30]
    write(store, 1, JobState.DONE, progress)
    assert not [key for key in samples(PrometheusMetrics({"train": store}, lambda: 0)) if "direct-1" in key]


def test_what_a_job_does_not_know_yet_is_left_out(settings: Settings) -> None:
    jobs = FolderJobs(settings.jobs)
    write(jobs, 1, JobState.RUNNING)
    seen = samples(PrometheusMetrics({"train": jobs}, lambda: 0))
    assert seen['step{adapter="direct-1",run="r1"}'] == 0
    assert not [key for key in seen if key.startswith(("loss", "tokens", "seconds", "memory"))]


def test_without_redis_or_with_a_damaged_record_the_rest_is_shown(settings: Settings, tmp_path: Path) -> None:
    damaged, whole = FolderJobs(settings.jobs), FolderJobs(tmp_path / "merges")
    (damaged.folder(write(damaged, 1, JobState.DONE)) / "job.json").write_text("{")
    write(whole, 2, JobState.DONE)
    seen = samples(PrometheusMetrics({"train": damaged, "merge": whole}, without_redis))
    assert seen["redis_up"] == 0 and "queue" not in seen
    assert seen['jobs{kind="merge",state="done"}'] == 1 and 'jobs{kind="train",state="done"}' not in seen


async def test_the_route_is_there_where_metrics_are_given(settings: Settings) -> None:
    jobs = FolderJobs(settings.jobs)
    app = create_app(Jobs(settings, jobs), print, metrics=PrometheusMetrics({"train": jobs}, lambda: 4))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://trainer") as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "askback_trainer_queue 4.0\n" in answer.text


def test_messages_that_wait_are_counted_in_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tasks.app.conf.broker_transport_options
    monkeypatch.setattr(tasks.app, "connection_for_read", lambda: Connection(redis_url, transport_options=options))
    monkeypatch.setattr(tasks.app, "connection_for_write", lambda: Connection(redis_url, transport_options=options))
    assert tasks.queued() == 0
    assert not redis.Redis.from_url(redis_url).keys("askback:*"), "counting writes nothing"
    with tasks.app.connection_for_write() as connection:
        for number in range(3):
            tasks.train.apply_async((f"{number:016x}",), connection=connection)
        assert tasks.queued() == 3
        assert connection.default_channel.queue_purge(tasks.QUEUE) == 3


def test_a_queue_without_redis_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Connection("redis://127.0.0.1:1/0", transport_options=tasks.app.conf.broker_transport_options)
    monkeypatch.setattr(tasks.app, "connection_for_read", lambda: closed)
    with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
        tasks.queued()
