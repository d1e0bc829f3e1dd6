"""HTTP/1.1 with keep-alive in as few steps as answers need, so that an upstream costs little beside the proxy that is measured."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import cast

Answer = Callable[[str, bytes], bytes]
"""Takes a request's path and body, returns the whole response in bytes."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests"}


def response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole JSON response in bytes."""
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", "content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class HttpProtocol(asyncio.Protocol):
    """One connection. Bodies need a Content-Length, as every client of this folder sends it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports have its methods, not its base class

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body = self._received[end + 4 : whole]
            self._received = self._received[whole:]
            assert self._transport is not None
            self._transport.write(self._answer(head.split(b" ", 2)[1].decode("latin-1"), body))
