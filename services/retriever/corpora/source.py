"""What a corpus file is to a build: blocks of passages in a fixed order, the first of which can be passed over."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage

_EDGE = 1 << 20


class Block(NamedTuple):
    """Some passages, and how many bytes of the file have been read up to their end."""

    passages: list[Passage]
    at: int


class Source(Protocol):
    """A corpus file."""

    kind: str
    path: Path

    def blocks(self, skip: int) -> Iterator[Block]:
        """The blocks after the first `skip`, the same ones at every call; raises InvalidInput naming the place that cannot be read."""
        ...


def fingerprint(source: Source) -> str:
    """Kind, size and a hash of both ends: a file that differs from the one that a build began with begins it anew."""
    try:
        size = source.path.stat().st_size
        with source.path.open("rb") as file:
            digest = sha256(file.read(_EDGE))
            file.seek(max(0, size - _EDGE))
            digest.update(file.read(_EDGE))
    except OSError as error:
        raise InvalidInput(f"{source.path} cannot be read ({error.strerror}); name the corpus file") from error
    if not size:
        raise InvalidInput(f"{source.path} is empty; name the corpus file")
    return f"{source.kind}:{size}:{digest.hexdigest()}"
