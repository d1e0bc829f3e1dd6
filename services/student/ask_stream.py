"""The exchange as server-sent events, one for each step as it is ready."""

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from askback.contracts.errors import ServiceError
from askback.contracts.student import AnswerResponse, AskAnswers, AskResponse, ClarifyResponse
from services.student.asking import Step
from services.wire import error_answer

_NAMES: dict[type[Step], str] = {ClarifyResponse: "draft", AskAnswers: "answers", AnswerResponse: "final", AskResponse: "done"}
_PING_S = 15.0  # a teacher may take minutes, and proxies close what is silent for one
_HUNG_UP = 499  # nobody reads it
logger = logging.getLogger(__name__)


async def stream(steps: AsyncIterator[Step], caller: Request, ping_s: float = _PING_S) -> Response:
    """The steps as they come, with a comment every `ping_s` seconds between them.

    The first step is waited for, so that what fails before it has a status of its own: raises what `steps` raises. A caller that
    hangs up cancels the step under way.
    """
    upcoming, gone = asyncio.ensure_future(_following(steps)), asyncio.ensure_future(_hung_up(caller))
    try:
        await asyncio.wait({upcoming, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not upcoming.done():
            return Response(status_code=_HUNG_UP)
        first = upcoming.result()
    finally:
        upcoming.cancel()
        gone.cancel()
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # the second is for nginx, which would keep the steps back
    return EventSourceResponse(_events(first, steps, ping_s), headers=headers)


async def _events(first: Step | None, steps: AsyncIterator[Step], ping_s: float) -> AsyncIterator[bytes]:
    step = first
    while step is not None:
        yield format_sse_event(event=_NAMES[type(step)], data_str=step.model_dump_json())
        upcoming = asyncio.ensure_future(_following(steps))
        try:
            while not (await asyncio.wait({upcoming}, timeout=ping_s))[0]:
                yield KEEPALIVE_COMMENT
            step = upcoming.result()
        except Exception as error:
            yield format_sse_event(event="error", data_str=error_answer(_shown(error), "")[2].decode())
            return
        finally:
            upcoming.cancel()


async def _following(steps: AsyncIterator[Step]) -> Step | None:
    async for step in steps:
        return step
    return None


async def _hung_up(caller: Request) -> None:
    """Returns when the connection is closed. The body is read by now, so nothing else can come."""
    while (await caller.receive())["type"] != "http.disconnect":
        pass


def _shown(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    logger.error("the exchange failed", exc_info=error)
    return ServiceError("the student failed; its log says why")
