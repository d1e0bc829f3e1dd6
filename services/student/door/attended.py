"""Work for a caller who may hang up, within a time that may be over."""

import asyncio
from types import TracebackType

from starlette.types import Message, Receive

from askback.contracts.errors import DeadlineExceeded


class HungUp(Exception):
    """The caller is gone; nobody reads an answer."""


class Attended:
    """`async with Attended(receive, ends) as caller:` cancels the block when the caller hangs up or its time is over.

    Then HungUp or DeadlineExceeded comes out of it. `ends` is on the event loop's clock; the request's body must have been read.
    """

    def __init__(self, receive: Receive, ends: float, seconds: float) -> None:
        self._receive, self._ends, self._seconds = receive, ends, seconds
        self._why: Exception | None = None

    async def __aenter__(self) -> "Attended":
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = loop.call_at(self._ends, self._late)
        self._watch = loop.create_task(self._until_gone())
        return self

    def answered(self) -> None:
        """Nothing more is waited for. To be called before the last of the answer is sent, which servers take for a hang-up."""
        self._timer.cancel()
        self._watch.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.answered()
        if self._why is not None and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise self._why from None

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(HungUp())

    def _late(self) -> None:
        self._end(DeadlineExceeded(f"x-askback-deadline-s: {self._seconds:g} s were over before the answer was whole; give it more time"))

    def _end(self, why: Exception) -> None:
        if self._why is None:
            self._why = why
            self._task.cancel()


async def whole_body(receive: Receive) -> bytes:
    """The request's body; raises HungUp when the caller goes before its end."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise HungUp
        piece: bytes = message.get("body", b"")
        body = body + piece if body else piece
        if not message.get("more_body"):
            return body


def replayed(body: bytes) -> Receive:
    """A `receive` that gives `body` and then nothing more: whoever listens to the caller is around it."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.get_running_loop().create_future()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
