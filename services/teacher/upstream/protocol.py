"""What an upstream is: a server that is sent one request, once, and how that one try can end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.teacher.flights import Emit


@dataclass(frozen=True)
class Reply:
    """A whole answer, paid for."""

    body: bytes
    """A `chat.completion` object."""
    completion: dict[str, Any]
    """The same, decoded and checked."""
    headers: Mapping[str, str] = field(default_factory=dict)


class TryFailed(Exception):
    """One try brought no answer. `headers` are the reply's, empty without one."""

    def __init__(self, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.headers: Mapping[str, str] = headers or {}


class NotSent(TryFailed):
    """The request did not reach the upstream, so nothing was paid; another try may succeed."""


class Refused(TryFailed):
    """The upstream answered with an error status, so nothing was paid."""

    def __init__(self, text: str, status: int, code: str, headers: Mapping[str, str]) -> None:
        super().__init__(text, headers)
        self.status, self.code = status, code


class Lost(TryFailed):
    """The request went out and no whole answer came back, so it may have been paid for.

    `again` says whether another try may succeed.
    """

    def __init__(self, text: str, again: bool, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text, headers)
        self.again = again


class Upstream(Protocol):
    """One server that speaks OpenAI's chat completions API."""

    async def send(self, body: bytes, timeout_s: float, emit: Emit | None = None) -> Reply:
        """One try; with `emit`, `body` asks for a stream and its chunks are passed on as they arrive. Raises TryFailed."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...
