"""OpenAI's routes, passed through to the engine: the same bytes, as they come."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import orjson
from starlette.types import Send

from askback.contracts.errors import NotFound
from askback.contracts.student import BASE, STUDENT, AdaptersResponse
from services.student.door.attended import Attended
from services.student.door.token_count import TokenCount
from services.student.engine_link import EngineAnswer, EngineLink, Headers
from services.student.turns import Turns

Result = TypeVar("Result")
Admission = Callable[[], AbstractAsyncContextManager[None]]
"""Lets a request to the engine for the length of a block, or raises UpstreamUnavailable."""

# Headers of one connection alone (RFC 9110, section 7.6.1), and those that a server writes by itself.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"}
    | {b"upgrade", b"date"}
)
# The key is this service's own, and no business of the engine's.
_NOT_FOR_THE_ENGINE = _HOP_BY_HOP | {b"host", b"content-length", b"authorization", b"cookie", b"expect", b"x-askback-deadline-s"}


class Counts(Protocol):
    """What is counted of the answers."""

    def first_token(self, seconds: float) -> None: ...

    def generated(self, tokens: int, seconds: float) -> None: ...


class Registry(Protocol):
    """The adapters; see services.student.adapters.Adapters."""

    async def using(self, name: str, call: Callable[[str], Awaitable[Result]]) -> tuple[str, Result]: ...

    def listing(self) -> AdaptersResponse: ...


class _Unknown(NotFound):
    """The engine does not know the model; `headers` and `body` are its answer."""

    def __init__(self, headers: Headers, body: bytes) -> None:
        super().__init__("the engine does not know the model")
        self.headers, self.body = headers, body


class PassThrough:
    """Sends requests on, each with the model that it means. Adapters that a restarted engine forgot are loaded again."""

    def __init__(
        self, engine: EngineLink, adapters: Registry, turns: Turns, counts: Counts, served_base: str, admitted: Admission = contextlib.nullcontext
    ) -> None:
        """`served_base` is the engine's own name of the base model. A request is at the engine within `admitted()` alone."""
        self._engine, self._adapters, self._turns, self._counts = engine, adapters, turns, counts
        self._served_base, self._admitted = served_base, admitted
        self._names = {None: "", "": "", STUDENT: "", served_base: BASE}

    async def complete(self, target: str, headers: Headers, body: bytes, caller: Attended, send: Send) -> None:
        """Answer one request for a completion; raises a ServiceError while nothing has been sent, or when a stream breaks."""
        began = time.monotonic()
        sent = [pair for pair in headers if pair[0] not in _NOT_FOR_THE_ENGINE]
        asked = _decoded(body)
        name = asked.get("model") if asked is not None else body
        reached = False

        async def forward(model: Any) -> None:
            nonlocal reached
            reached = True
            content = orjson.dumps(asked | {"model": model}) if asked is not None and model != name else body
            async with self._admitted(), self._engine.send("POST", target, content, sent) as answer:
                if answer.status == 404:
                    raise _Unknown(answer.headers, await answer.read())
                await self._relay(answer, began, caller, send)

        async with self._turns.turn():
            try:
                try:
                    if not isinstance(name, str | None):
                        raise NotFound("no name")
                    await self._adapters.using(self._names.get(name, name or ""), forward)
                except NotFound:
                    if reached:
                        raise
                    await forward(name)  # no adapter of ours: the engine says what is wrong with it
            except _Unknown as unknown:
                caller.answered()
                await _send_whole(404, unknown.headers, unknown.body, send)

    async def _relay(self, answer: EngineAnswer, began: float, caller: Attended, send: Send) -> None:
        count, headers = TokenCount(), passed_on(answer.headers)
        if any(name == b"content-length" for name, _ in headers):
            body = await answer.read()
            count.read(body)
            caller.answered()
            await _send_whole(answer.status, answer.headers, body, send)
        else:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            piece = await answer.piece()
            self._counts.first_token(time.monotonic() - began)
            while piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                count.read(piece)
                piece = await answer.piece()
            caller.answered()
            await send({"type": "http.response.body", "body": b""})
        if answer.status == 200:
            self._counts.generated(count.tokens, time.monotonic() - began)

    async def models(self, headers: Headers) -> tuple[int, Headers, bytes]:
        """(status, headers, body): the engine's models and, after them, `student`, which has the promoted one's root and parent."""
        sent = [(name, value) for name, value in headers if name not in _NOT_FOR_THE_ENGINE and name != b"accept-encoding"]
        async with self._engine.send("GET", "/v1/models", b"", sent) as answer:
            body = await answer.read()
            listed = _decoded(body) if answer.status == 200 else None
        if listed is None or not isinstance(listed.get("data"), list):
            return answer.status, passed_on(answer.headers), body
        own = [(name, value) for name, value in passed_on(answer.headers) if name != b"content-length"]
        body = orjson.dumps(listed | {"data": [*listed["data"], self._alias(listed["data"])]})
        return answer.status, [*own, (b"content-length", b"%d" % len(body))], body

    def _alias(self, cards: list[dict[str, Any]]) -> dict[str, Any]:
        name = self._adapters.listing().default
        model = self._served_base if name == BASE else name
        base: dict[str, Any] = next((card for card in cards if not card.get("parent")), {})
        default = {"root": model, "parent": base.get("id")}  # of an adapter that a restarted engine has yet to be given
        return base | next((card for card in cards if card.get("id") == model), default) | {"id": STUDENT}


def _decoded(body: bytes) -> dict[str, Any] | None:
    """The JSON object that `body` is; None when it is none."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return decoded if isinstance(decoded, dict) else None


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of an answer without those of its connection alone."""
    return [pair for name, value in headers if (pair := (name.lower(), value))[0] not in _HOP_BY_HOP]


async def _send_whole(status: int, headers: Headers, body: bytes, send: Send) -> None:
    kept = [pair for pair in passed_on(headers) if pair[0] != b"content-length"]
    await send({"type": "http.response.start", "status": status, "headers": [*kept, (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
