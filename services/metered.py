"""Counts the requests to a service, refused ones too, and adds what all services show to its /metrics. Plain ASGI, for speed."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.prometheus_metrics import HttpMetrics
from services.wire import OPENAI_PATHS

METRICS = "/metrics"
_UNROUTED = OPENAI_PATHS | {METRICS, "/healthz", "/readyz"}  # a service's door may answer them before its framework looks for a route
_HUNG_UP = 499


class Metered:
    """Passes every request on to `app`."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = self._with_shared(send) if scope["path"] == METRICS else send
        began, status, seconds = time.perf_counter(), _HUNG_UP, 0.0

        async def seen(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - began
            await sending(message)

        try:
            await self._app(scope, receive, seen)
        except Exception:
            status = 500 if status == _HUNG_UP else status
            raise
        finally:
            self._metrics.answered(_route(scope), status, seconds or time.perf_counter() - began)

    def _with_shared(self, send: Send) -> Send:
        """Sends the answer of the service's own /metrics with what all services show at its end."""
        shown = False

        async def longer(message: Message) -> None:
            nonlocal shown
            if message["type"] == "http.response.start" and message["status"] == 200:
                shown = True
                message = {**message, "headers": [header for header in message["headers"] if header[0] != b"content-length"]}
            elif message["type"] == "http.response.body" and shown and not message.get("more_body"):
                shared = await asyncio.to_thread(self._metrics.render)
                message = {**message, "body": message.get("body", b"") + shared}
            await send(message)

        return longer


def _route(scope: Scope) -> str:
    """A name for the metrics, of which there must not be as many as callers like."""
    route = scope.get("route")  # set by the framework once it has found it
    if route is not None:
        return str(route.path)
    path: str = scope["path"]
    return path if path in _UNROUTED else "other"
