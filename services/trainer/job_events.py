"""A job's progress as server-sent events, one whenever its record has changed."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence

from fastapi import Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from askback.contracts.errors import InvalidInput, ServiceError
from askback.contracts.trainer import Job, LossPoint
from askback.contracts.trainer_jobs import JobEvent
from services.wire import error_answer

log = logging.getLogger(__name__)

_LOOK_S = 0.5
_PING_S = 15.0  # proxies close what is silent for a minute
_LAST_SEEN = "last-event-id"


async def follow(read: Callable[[], Job], caller: Request, look_s: float = _LOOK_S, ping_s: float = _PING_S) -> EventSourceResponse:
    """The job that `read` gives, now and after every change, until it is over; a comment after `ping_s` seconds of silence.

    `read` waits for a disk and is called in a thread, every `look_s` seconds. An event's id is its last step, so that a caller who comes
    back with it gets no point twice. Raises what the first `read` raises, and InvalidInput for an id that is no step.
    """
    seen = _last_seen(caller)
    job = await asyncio.to_thread(read)
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # the second is for nginx, which would keep the events back
    return EventSourceResponse(_events(job, read, seen, look_s, ping_s), headers=headers)


async def _events(job: Job, read: Callable[[], Job], seen: int, look_s: float, ping_s: float) -> AsyncIterator[bytes]:
    sent: Job | None = None
    spoken = time.monotonic()
    while True:
        if job != sent:
            event = JobEvent(job=job, losses=_after(seen, job.losses))
            seen = max([seen, *(point.step for point in event.losses)])
            yield _formatted(event, seen)
            if event.over:
                return
            sent, spoken = job, time.monotonic()
        elif time.monotonic() - spoken >= ping_s:
            yield KEEPALIVE_COMMENT
            spoken = time.monotonic()
        await asyncio.sleep(look_s)
        try:
            job = await asyncio.to_thread(read)
        except Exception as error:
            yield format_sse_event(event="error", data_str=error_answer(_shown(error), "")[2].decode())
            return


def _formatted(event: JobEvent, seen: int) -> bytes:
    name = event.job.state.value if event.over else "progress"
    # ASCII, since a line of the format also ends at U+2028 and its like, which a path may hold
    return format_sse_event(event=name, data_str=json.dumps(event.model_dump(mode="json", exclude={"job": {"losses"}})), id=str(seen))


def _after(step: int, losses: Sequence[LossPoint]) -> list[LossPoint]:
    return [point for point in losses if point.step > step]


def _last_seen(caller: Request) -> int:
    text = caller.headers.get(_LAST_SEEN, "0")
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput(f"{_LAST_SEEN}: {text[:40]!r} is not a step; send the id of the last event, or leave it out")
    return int(text)


def _shown(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    log.error("the job could not be read", exc_info=error)
    return ServiceError("the job could not be read; the trainer's log says why")
