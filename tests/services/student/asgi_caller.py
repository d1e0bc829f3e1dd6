"""One POST straight into an application, read piece by piece, which can hang up. httpx's own transport waits for the whole answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.types import ASGIApp, Message


class Caller:
    def __init__(self, app: ASGIApp, path: str, body: dict[str, Any]) -> None:
        self._body = json.dumps(body).encode()
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self._body))]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
        self.call = asyncio.ensure_future(app(scope | {"asgi": {"version": "3.0", "spec_version": "2.3"}}, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> Message:
        if self._body:
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._sent.put(message)

    def hang_up(self) -> None:
        self._gone.set()

    async def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers, as soon as they are sent."""
        message = await asyncio.wait_for(self._sent.get(), 5)
        return message["status"], {name.decode(): value.decode() for name, value in message["headers"]}

    async def pieces(self) -> AsyncIterator[str]:
        """The body's pieces as they are sent."""
        more = True
        while more:
            message = await asyncio.wait_for(self._sent.get(), 5)
            more = message.get("more_body", False)
            if message["body"]:
                yield message["body"].decode()


def event(piece: str) -> tuple[str, Any]:
    """Name and data of one server-sent event."""
    name, data = piece.removesuffix("\n\n").split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
