"""One answer on its way to the caller: what of it is sent, and how it still can fail."""

import json
from collections.abc import Callable

from starlette.types import Message, Send

from askback.contracts.errors import ServiceError
from services.doors import identifier_of
from services.logs import set_request_id
from services.student.engine_link import Headers
from services.wire import error_answer


class Sending:
    """An ASGI `send` that remembers. Every answer gets the request's id, unless it has one."""

    def __init__(self, send: Send, headers: Headers) -> None:
        """`headers` are the request's."""
        self._send = send
        self._id = identifier_of(next((value for name, value in headers if name == b"x-request-id"), None))
        set_request_id(self._id.decode())
        self.status = 0
        self._streams = self._whole = False
        self.before_last: Callable[[], None] | None = None
        """Called before the last of the answer is sent."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: Headers = list(message.get("headers", ()))
            names = dict(headers)
            self._streams = names.get(b"content-type", b"").startswith(b"text/event-stream")
            if b"x-request-id" not in names:
                message = {**message, "headers": [*headers, (b"x-request-id", self._id)]}
        elif not message.get("more_body"):
            self._whole = True
            if self.before_last is not None:
                self.before_last()
        await self._send(message)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})

    async def fail(self, error: ServiceError, path: str) -> None:
        """Tell the caller of `path`; once a stream has begun, it must tell by itself, and its reader must see that it was cut."""
        status, headers, body = error_answer(error, path)
        if not self.status:
            await self.whole(status, [(name.encode(), value.encode()) for name, value in headers.items()], body)
        elif self._streams and not self._whole:
            name = b"event: error\n" if "error" in (told := json.loads(body)) and isinstance(told["error"], str) else b""  # OpenAI's have no names
            await self({"type": "http.response.body", "body": name + b"data: " + body + b"\n\n"})
