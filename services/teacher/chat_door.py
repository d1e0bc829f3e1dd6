"""`POST /v1/chat/completions` as plain ASGI: a cached answer costs less here than a framework's routing alone."""

import logging
import time
from typing import Protocol

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from askback.contracts.errors import InvalidInput, ServiceError
from services.doors import deadline_of, identifier_of, shown
from services.logs import set_request_id
from services.teacher.core import Answer, Teacher
from services.teacher.request.asked import MAX_RUN_LENGTH, Asked, read_request
from services.teacher.request.cache_control import ALLOW_ALL, parse_cache_control
from services.teacher.upstream.sse import chunks_of, event, is_usage_alone
from services.wire import openai_error

PATH = "/v1/chat/completions"
Headers = list[tuple[bytes, bytes]]
_READ = frozenset({b"cache-control", b"x-request-id", b"x-askback-run", b"x-askback-deadline-s"})
logger = logging.getLogger(__name__)


class Meters(Protocol):
    """What is counted of the requests."""

    def answered(self, answer: Answer) -> None: ...

    def refused(self, kind: str) -> None: ...


class ChatDoor:
    """Answers chat completions from `teacher`; every other request goes on to `app`."""

    def __init__(self, app: ASGIApp, teacher: Teacher, meters: Meters) -> None:
        self._app, self._teacher, self._meters = app, teacher, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        read = {name: value for name, value in scope["headers"] if name in _READ}
        identifier = identifier_of(read.get(b"x-request-id"))
        set_request_id(identifier.decode())
        if scope["method"] != "POST":
            error = InvalidInput(f"{scope['method']}: this route knows POST alone")
            error.status = 405
            await _refuse(error, identifier, send, (b"allow", b"POST"))
            return
        begun = False
        try:
            asked = _asked(await _body(receive), read)
            answer = None if asked.cache.no_cache else self._teacher.recall(asked)
            if answer is None:
                answer = await self._teacher.ask(asked)
            begun = True
            await _send(answer, asked, identifier, send)
            self._meters.answered(answer)
        except Exception as error:
            told = shown(error, "teacher", logger)
            self._meters.refused(type(told).__name__)
            if begun:  # the status line is gone, so the stream itself must tell
                await send({"type": "http.response.body", "body": event(openai_error(told)[2])})
            else:
                await _refuse(told, identifier, send)


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _asked(body: bytes, headers: dict[bytes, bytes]) -> Asked:
    control = headers.get(b"cache-control")
    cache = parse_cache_control(control.decode("latin-1")) if control else ALLOW_ALL
    run = headers.get(b"x-askback-run", b"").decode(errors="surrogateescape")
    if len(run) > MAX_RUN_LENGTH or not run.isprintable():
        raise InvalidInput(f"x-askback-run: must be a name of at most {MAX_RUN_LENGTH} printable characters")
    return read_request(body, cache, run, deadline_of(headers.get(b"x-askback-deadline-s")))


async def _send(answer: Answer, asked: Asked, identifier: bytes, send: Send) -> None:
    headers = _headers(answer, identifier)
    completion = answer.completion
    if completion is not None and not asked.stream:
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(completion.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": completion.body})
        return
    headers += [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if completion is not None:
        whole = b"".join(event(chunk) for chunk in chunks_of(orjson.loads(completion.body), asked.include_usage))
        await send({"type": "http.response.body", "body": whole})
        return
    assert answer.live is not None
    async for chunk in answer.live:
        if asked.include_usage or b'"usage"' not in chunk or not is_usage_alone(orjson.loads(chunk)):
            await send({"type": "http.response.body", "body": event(chunk), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _headers(answer: Answer, identifier: bytes) -> Headers:
    headers = [
        (b"x-request-id", identifier),
        (b"x-cache", answer.cache.encode()),
        (b"x-askback-backend", answer.backend.encode()),
        (b"x-askback-request-hash", answer.request_hash.encode()),
    ]
    if answer.completion is not None:
        bought = b"%.10f" % answer.completion.cost_usd
        headers += [(b"x-askback-cost-usd", bought if answer.cache == "miss" else b"0"), (b"x-askback-answer-usd", bought)]
        if answer.cache == "hit":
            headers.append((b"age", b"%d" % max(0, int(time.time() - answer.completion.created_at))))
    return headers


async def _refuse(error: ServiceError, identifier: bytes, send: Send, *more: tuple[bytes, bytes]) -> None:
    status, headers, body = openai_error(error)
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*sent, *more, (b"x-request-id", identifier)]})
    await send({"type": "http.response.body", "body": body})
