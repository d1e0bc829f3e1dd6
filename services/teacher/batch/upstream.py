"""What a batch upstream is: a server that takes a file of requests, works on it for up to a day, and hands back a file of results."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from services.teacher.config import OpenAISpec
from services.teacher.money.prices import Price

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
CANCELLABLE = frozenset({"validating", "in_progress"})


@dataclass(frozen=True, slots=True)
class UpstreamBatch:
    """A batch as its server tells of it."""

    id: str
    status: str
    """One of ENDED, one of CANCELLABLE, `finalizing` or `cancelling`."""
    completed: int = 0
    """Requests that have an answer, which is paid for."""
    output_file_id: str = ""
    """Results of those; empty while there are none."""
    error_file_id: str = ""
    """Results of the requests that failed; empty while there are none."""
    errors: tuple[tuple[str, str], ...] = ()
    """(code, message) of what kept the whole batch from being worked on."""


class BatchUpstream(Protocol):
    """One server that speaks OpenAI's Batch API.

    Each method raises UpstreamUnavailable where the same call may succeed later, NotFound for what the server does not know,
    and UpstreamRejected for every other refusal.
    """

    async def upload(self, name: str, lines: AsyncIterator[bytes]) -> str:
        """Store `lines`, each with its line end, under `name`; returns the file's id."""
        ...

    async def find(self, job_id: str, file_id: str) -> UpstreamBatch | None:
        """The batch that `create` made for them, whether or not its answer arrived; None when there is none."""
        ...

    async def create(self, job_id: str, file_id: str) -> UpstreamBatch:
        """Start a batch. Tried once: after UpstreamUnavailable it may have been started, and `find` tells."""
        ...

    async def status(self, batch_id: str) -> UpstreamBatch:
        """How far the batch is."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """Ask for the batch's end; what is done by then is still handed back."""
        ...

    def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """The lines of a file of results, without their line ends."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...


@dataclass(frozen=True, slots=True)
class BatchOffer:
    """A backend that takes batches."""

    spec: OpenAISpec
    price: Price | None
    """The full price; None when it is not known."""
    upstream: BatchUpstream
    missing: str = ""
    """What keeps the backend from being asked, such as a key that is not set."""
