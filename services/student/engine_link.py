"""What the student needs of the way to its engine's server: requests go out as they are, answers come back as they are."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

Headers = list[tuple[bytes, bytes]]
"""(name, value) pairs as they stand on the wire."""


class EngineAnswer(Protocol):
    """An answer whose head has come. Reading on raises UpstreamUnavailable when the engine breaks it off."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """The whole body."""
        ...

    async def piece(self) -> bytes:
        """The next of the body as it comes; empty at its end."""
        ...


class EngineLink(Protocol):
    """The way to one engine."""

    url: str

    def send(
        self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> AbstractAsyncContextManager[EngineAnswer]:
        """Send one request to `target` (path and query); leaving the block ends what is still under way at the engine.

        Raises UpstreamUnavailable when the engine cannot be reached. It has no time limit of its own.
        """
        ...
