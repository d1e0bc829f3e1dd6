"""The cache of paid answers: a memory of those used of late, over a durable store."""

from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Protocol

from services.teacher.answers.completion import Completion

_OVERHEAD_BYTES = 600  # of one entry beside its body: key, objects and their places in the dictionary


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an answer answers, kept beside it so that it can be handed on as a recording."""

    backend: str
    request_hash: str
    """Hash of the request's meaning without backend and model."""
    question_id: str
    question: str
    sample_index: int


class AnswerStore(Protocol):
    """Where answers are kept for good."""

    async def find(self, key: str) -> Completion | None: ...

    def keep(self, key: str, completion: Completion, provenance: Provenance) -> Awaitable[None]:
        """Begins at once; durable when what it returns is done."""
        ...

    def all(self, backend: str) -> Iterator[tuple[Completion, Provenance]]:
        """Every answer of `backend`, oldest first; blocks."""
        ...


class RecentAnswers:
    """The answers used last, as many as fit into `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._entries: OrderedDict[str, Completion] = OrderedDict()

    def find(self, key: str) -> Completion | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def keep(self, key: str, completion: Completion) -> None:
        self._forget(key)
        self._entries[key] = completion
        self._bytes += len(completion.body) + _OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: str) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= len(old.body) + _OVERHEAD_BYTES
