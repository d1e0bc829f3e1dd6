"""The evaluator's door: gives every request an id, counts it, logs what took long or failed. Plain ASGI."""

import logging
import time
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.doors import identifier_of
from services.logs import set_request_id

_KNOWN = frozenset({"/v1/scores", "/v1/reports", "/v1/leaderboard", "/metrics", "/healthz", "/readyz"})
_UNREMARKABLE_S = 1.0
logger = logging.getLogger(__name__)


class Counts(Protocol):
    """What is counted of the requests."""

    def answered(self, route: str, status: int) -> None: ...


class Door:
    """Passes every request on to `app`."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = identifier_of(next((value for name, value in scope["headers"] if name == b"x-request-id"), None))
        set_request_id(identifier.decode())
        began, status = time.monotonic(), 500

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", identifier)]}
            await send(message)

        try:
            await self._app(scope, receive, named)
        finally:
            route, seconds = _route(scope["path"]), time.monotonic() - began
            self._counts.answered(route, status)
            if status >= 400 or seconds > _UNREMARKABLE_S:
                logger.info("refused" if status >= 400 else "answered", extra={"route": route, "status": status, "seconds": round(seconds, 4)})


def _route(path: str) -> str:
    """A name for the metrics, of which there must not be as many as callers like."""
    if path in _KNOWN:
        return path
    return "/v1/scores/{id}" if path.startswith("/v1/scores/") else "other"
