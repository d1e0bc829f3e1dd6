"""The student's front: OpenAI's routes pass through to the engine, all others go to the application."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from services.doors import deadline_of, shown
from services.student.door.attended import Attended, HungUp, replayed, whole_body
from services.student.door.meters import Meters
from services.student.door.pass_through import PassThrough
from services.student.door.sending import Sending
from services.student.engine_health import EngineHealth
from services.student.engine_link import Headers

COMPLETIONS = frozenset({"/v1/chat/completions", "/v1/completions"})
ASKING = frozenset({"/v1/clarify", "/v1/answer", "/v1/ask"})
_MODELS, _ADAPTERS = "/v1/models", "/v1/adapters"
_KNOWN = COMPLETIONS | ASKING | {_MODELS, _ADAPTERS, "/metrics", "/healthz", "/readyz", "/"}
_HUNG_UP = 499
_RETRY_S = "5"
Close = Callable[[], Awaitable[None]]
Work = Callable[[Scope, bytes, Attended, Sending], Awaitable[None]]
logger = logging.getLogger(__name__)


class Front:
    """Gives every request an id, those that need the engine a deadline and an ear for their caller's hang-up, and counts them all."""

    def __init__(self, app: ASGIApp, passing: PassThrough, health: EngineHealth, meters: Meters, close: Close, longest_s: float) -> None:
        """`close` is called at the end; `longest_s` is the time of a request that brings no deadline of its own."""
        self._app, self._passing, self._health, self._meters, self._close, self._longest_s = app, passing, health, meters, close, longest_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, Sending(send, scope["headers"]))
            return
        watching = asyncio.create_task(self._health.watch())  # what is not a request is the application's lifespan
        try:
            await self._app(scope, receive, send)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await self._close()

    async def _serve(self, scope: Scope, receive: Receive, sending: Sending) -> None:
        began, path, status = time.monotonic(), scope["path"], _HUNG_UP
        try:
            await self._route(scope, receive, sending)
            status = sending.status
        except HungUp:
            pass
        except Exception as error:
            told = self._told(error)
            status = told.status
            await sending.fail(told, path)
        finally:
            route = _route(path)
            self._meters.answered(route, status)
            if status >= 400:
                logger.info("refused", extra={"route": route, "status": status, "seconds": round(time.monotonic() - began, 4)})

    async def _route(self, scope: Scope, receive: Receive, sending: Sending) -> None:
        path, posted = scope["path"], scope["method"] == "POST"
        if path in COMPLETIONS:
            _only("POST", scope)
            await self._attend(self._complete, scope, receive, sending)
        elif path in ASKING and posted:
            await self._attend(self._ask, scope, receive, sending)
        elif path == _MODELS:
            _only("GET", scope)
            await sending.whole(*await self._passing.models(scope["headers"]))
        elif path == "/readyz" and not posted:
            await self._readiness(sending)
        elif path == "/metrics" and not posted:
            await sending.whole(200, [(b"content-type", self._meters.content_type.encode())], self._meters.render())
        else:
            await self._app(scope, receive, sending)

    async def _attend(self, work: Work, scope: Scope, receive: Receive, sending: Sending) -> None:
        seconds = deadline_of(next((value for name, value in scope["headers"] if name == b"x-askback-deadline-s"), None)) or self._longest_s
        ends = asyncio.get_running_loop().time() + seconds
        body = await whole_body(receive)
        async with Attended(receive, ends, seconds) as caller:
            await work(scope, body, caller, sending)

    async def _complete(self, scope: Scope, body: bytes, caller: Attended, sending: Sending) -> None:
        query = scope["query_string"].decode("latin-1")
        target = scope["path"] + (f"?{query}" if query else "")
        await self._passing.complete(target, scope["headers"], body, caller, sending)

    async def _ask(self, scope: Scope, body: bytes, caller: Attended, sending: Sending) -> None:
        sending.before_last = caller.answered
        await self._app(scope, replayed(body), sending)

    async def _readiness(self, sending: Sending) -> None:
        missing = await self._health.ready()
        body = json.dumps({"status": missing or "ready", "service": "student"}).encode()
        headers: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await sending.whole(503 if missing else 200, headers + [(b"retry-after", _RETRY_S.encode())] * bool(missing), body)

    def _told(self, error: Exception) -> ServiceError:
        if isinstance(error, UpstreamUnavailable):
            return self._health.explained(error)
        return shown(error, "student", logger)


def _only(verb: str, scope: Scope) -> None:
    if scope["method"] != verb:
        error = InvalidInput(f"{scope['method']}: this route knows {verb} alone")
        error.status = 405
        raise error


def _route(path: str) -> str:
    """A name for the metrics, of which there must not be as many as callers like."""
    if path in _KNOWN:
        return path
    return _ADAPTERS if path.startswith(f"{_ADAPTERS}/") else "other"
