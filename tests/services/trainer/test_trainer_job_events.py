"""`GET /v1/jobs/{id}/events`: every change once, every loss once, and an end."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import Request

from askback.contracts.client import TrainerClient
from askback.contracts.errors import NotFound, ServiceError, UpstreamUnavailable
from askback.contracts.trainer import Job, JobState, LossPoint, Progress, TrainRequest
from askback.contracts.trainer_jobs import JobEvent
from services.trainer.app import create_app
from services.trainer.core import Jobs
from services.trainer.job_events import follow
from services.trainer.records.job_stores import job_store
from services.trainer.records.jobs import JobStore
from services.trainer.settings import Settings

JOB_ID = "0123456789abcdef"


def job_at(step: int, state: JobState = JobState.RUNNING, **changes: Any) -> Job:
    """A job after `step` steps of 9, whose dataset's name holds a character that some hold for a line's end."""
    request = TrainRequest(run_id="r1", name="direct", dataset="tracks/a\u2028b.jsonl")
    losses = [LossPoint(step=number, loss=1.0 / number) for number in range(1, step + 1)]
    return Job(id=JOB_ID, state=state, request=request, progress=Progress(step=step, total_steps=9), losses=losses, **changes)


def caller(last_event_id: str = "") -> Request:
    return Request({"type": "http", "headers": [(b"last-event-id", last_event_id.encode())] if last_event_id else []})


def reading(*jobs: Job | Exception) -> Callable[[], Job]:
    """Gives each of `jobs` in turn, and then the last one for ever."""
    left = list(jobs)

    def read() -> Job:
        job = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(job, Exception):
            raise job
        return job

    return read


async def pieces(read: Callable[[], Job], last_event_id: str = "", ping_s: float = 60.0) -> AsyncIterator[str]:
    answer = await follow(read, caller(last_event_id), look_s=0.001, ping_s=ping_s)
    async for piece in answer.body_iterator:
        assert isinstance(piece, bytes)
        yield piece.decode()


def event(piece: str) -> tuple[str, str, dict[str, Any]]:
    """Name, id and data of one event."""
    fields = dict(line.split(": ", 1) for line in piece.strip("\n").split("\n"))
    return fields["event"], fields["id"], json.loads(fields["data"])


async def test_each_change_is_an_event_with_the_points_since_the_last() -> None:
    read = reading(job_at(0), job_at(2), job_at(2), job_at(5), job_at(9, JobState.DONE, adapter="adapters/direct"))
    events = [event(piece) async for piece in pieces(read)]
    assert [(name, number) for name, number, _ in events] == [("progress", "0"), ("progress", "2"), ("progress", "5"), ("done", "9")]
    assert [[point["step"] for point in data["losses"]] for *_, data in events] == [[], [1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert all("losses" not in data["job"] for *_, data in events)
    last = JobEvent.model_validate(events[-1][2])
    assert last.over and last.job == job_at(9, JobState.DONE, adapter="adapters/direct").model_copy(update={"losses": []})


async def test_a_caller_who_comes_back_gets_no_point_twice() -> None:
    events = [event(piece) async for piece in pieces(reading(job_at(4), job_at(6, JobState.FAILED, error="no")), "4")]
    assert [(name, [point["step"] for point in data["losses"]]) for name, _, data in events] == [("progress", []), ("failed", [5, 6])]


async def test_silence_is_filled_with_comments() -> None:
    stream = pieces(reading(job_at(1)), ping_s=0.01)
    assert event(await anext(stream))[0] == "progress"
    assert [await anext(stream), await anext(stream)] == [": ping\n\n"] * 2


async def test_what_fails_on_the_way_is_the_last_event() -> None:
    for error, kind in [(UpstreamUnavailable("the jobs cannot be reached"), "UpstreamUnavailable"), (OSError("/secret/path"), "ServiceError")]:
        first, last = [piece async for piece in pieces(reading(job_at(1), error))]
        assert event(first)[0] == "progress"
        assert last.startswith(f'event: error\ndata: {{"error": "{kind}"')
        assert "secret" not in last


async def test_a_caller_who_hangs_up_ends_the_reading(settings: Settings) -> None:
    store = job_store(settings)
    store.write(job_at(1))
    app = create_app(Jobs(settings, store), print)
    gone, begun = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            begun.set()

    scope = {"type": "http", "method": "GET", "path": f"/v1/jobs/{JOB_ID}/events", "query_string": b"", "headers": []}
    call = asyncio.ensure_future(app(scope | {"asgi": {"version": "3.0", "spec_version": "2.3"}}, receive, send))  # type: ignore[arg-type]
    await asyncio.wait_for(begun.wait(), 5)
    assert not call.done()
    gone.set()
    await asyncio.wait_for(call, 5)


@pytest.fixture
async def watched(settings: Settings) -> AsyncIterator[tuple[TrainerClient, JobStore]]:
    store = job_store(settings)
    app = create_app(Jobs(settings, store), print)
    async with TrainerClient(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://trainer")) as client:
        yield client, store


async def test_a_client_sees_a_job_to_its_end(watched: tuple[TrainerClient, JobStore]) -> None:
    client, store = watched
    store.write(job_at(3))

    async def finish() -> None:
        await asyncio.sleep(0.1)
        store.write(job_at(9, JobState.DONE))

    finishing = asyncio.ensure_future(finish())
    events = [event async for event in client.events(JOB_ID, after_step=1)]
    await finishing
    assert [point.step for event in events for point in event.losses] == list(range(2, 10))
    assert events[-1].job.state is JobState.DONE and events[-1].job.request == job_at(0).request


async def test_an_unknown_job_and_a_wrong_id_are_refused_before_the_first_event(watched: tuple[TrainerClient, JobStore]) -> None:
    client, store = watched
    with pytest.raises(NotFound, match="no such job"):
        await anext(client.events(JOB_ID))
    store.write(job_at(1))
    with pytest.raises(ServiceError, match="last-event-id: 'x' is not a step"):
        await client.send("GET", f"/v1/jobs/{JOB_ID}/events", headers={"last-event-id": "x"})
