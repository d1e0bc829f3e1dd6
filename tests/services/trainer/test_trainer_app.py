from collections.abc import AsyncIterator

import httpx
import pytest
from trainer_rows import Writer, sft_row

from askback.contracts.client import TrainerClient
from askback.contracts.errors import Conflict, InvalidInput, NotFound, UpstreamUnavailable
from askback.contracts.trainer import JobState, TrainRequest
from services.trainer.app import create_app
from services.trainer.core import Enqueue, Jobs
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.settings import Settings


def client_of(settings: Settings, enqueue: Enqueue) -> TrainerClient:
    app = create_app(Jobs(settings, FolderJobs(settings.jobs)), enqueue)
    return TrainerClient(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://trainer"))


@pytest.fixture
async def client(settings: Settings, queue: list[str]) -> AsyncIterator[TrainerClient]:
    async with client_of(settings, queue.append) as client:
        yield client


@pytest.fixture
def queue() -> list[str]:
    return []


async def test_a_job_is_submitted_once_and_read_back(client: TrainerClient, queue: list[str], write_rows: Writer) -> None:
    request = TrainRequest(run_id="r1", name="direct-1", dataset=write_rows([sft_row(1)]))
    job = await client.submit(request)
    assert (job.state, job.request, queue) == (JobState.QUEUED, request, [job.id])
    assert await client.job(job.id) == job
    listing = (await client.send("GET", "/v1/jobs")).json()
    assert [item["id"] for item in listing] == [job.id]
    cancelled = (await client.send("DELETE", f"/v1/jobs/{job.id}")).json()
    assert (cancelled["state"], cancelled["error"]) == ("failed", "cancelled")
    with pytest.raises(Conflict):
        await client.send("DELETE", f"/v1/jobs/{job.id}")


async def test_a_bad_row_comes_back_with_its_line(client: TrainerClient, queue: list[str], write_rows: Writer) -> None:
    with pytest.raises(InvalidInput, match=r"a\.jsonl:2: completion: empty"):
        await client.submit(TrainRequest(run_id="r1", name="n", dataset=write_rows([sft_row(1), {**sft_row(2), "completion": []}])))
    assert queue == []


@pytest.mark.parametrize("job_id", ["0123456789abcdef", "0123456789ABCDEF", "x" * 200])
async def test_an_unknown_job_is_not_found(client: TrainerClient, job_id: str) -> None:
    with pytest.raises(NotFound):
        await client.job(job_id)


async def test_a_broker_that_is_down_is_said_and_the_job_kept(settings: Settings, queue: list[str], write_rows: Writer) -> None:
    def refuse(_: str) -> None:
        raise UpstreamUnavailable("redis cannot be reached")

    request = TrainRequest(run_id="r1", name="n", dataset=write_rows([sft_row(1)]))
    async with client_of(settings, refuse) as client:
        with pytest.raises(UpstreamUnavailable, match="redis cannot be reached"):
            await client.submit(request)
    async with client_of(settings, queue.append) as client:
        job = await client.submit(request)
    assert queue == [job.id]
