"""The ceiling: an ASGI application that reads a request and answers a fixed completion. Nothing behind uvicorn can be faster."""

from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.fake_upstream import completion

_BODY = completion("Answer 000000000000.")
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer every HTTP request alike."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
