"""What a build of vectors leaves in the manifest, and the check of the files against it."""

from hashlib import sha256
from pathlib import Path
from typing import Literal

from askback.contracts.errors import Conflict
from askback.contracts.records import Record
from services.retriever.vectors.scalar_codes import Bits
from services.retriever.vectors.settings import Layout

_HASHED = 1 << 20


class FileFacts(Record):
    """`edges` is the SHA-256 of the first and the last MiB: hashing gigabytes would keep a service from starting."""

    bytes: int
    edges: str

    @classmethod
    def of(cls, path: Path) -> "FileFacts":
        size = path.stat().st_size
        digest = sha256()
        with path.open("rb") as file:
            digest.update(file.read(_HASHED))
            file.seek(max(size - _HASHED, 0))
            digest.update(file.read(_HASHED))
        return cls(bytes=size, edges=digest.hexdigest())


class Tuned(Record):
    """How an approximate index is searched, and what that reached.

    `probes` lists are scanned; of what they hold, `candidates` are ordered by the next finer vectors and `kept` of them by the finest.
    Recalls are at 10 against exact search: `recall_chosen` on the queries that the parameters were chosen on, `recall_verified` on others.
    """

    probes: int
    candidates: int
    kept: int
    recall_target: float
    recall_chosen: float
    recall_verified: float
    queries: int
    """In each of the two halves."""
    queries_from: Literal["given queries", "perturbed passages"]
    cpu_ms: float
    """Median processor time of one query on the machine of the build."""


class VectorFacts(Record):
    layout: Layout
    count: int
    dimension: int
    lists: int = 0
    subquantisers: int = 0
    bits: Bits = 8
    """Of a dimension in the codes that order the candidates, where the layout has them."""
    bytes_per_vector: float
    """In memory, with everything that belongs to the index."""
    disk_bytes_per_vector: float
    seed: int
    tuned: Tuned | None = None
    """None where the search is exact."""
    files: dict[str, FileFacts]


class QdrantFacts(Record):
    """What the manifest says of vectors that lie in a Qdrant."""

    collection: str
    count: int
    dimension: int


def check_files(folder: Path, facts: VectorFacts) -> None:
    """Raises Conflict with the first file that is missing, cut or changed at its ends."""
    for name, expected in facts.files.items():
        try:
            found = FileFacts.of(folder / name)
        except OSError as error:
            raise Conflict(f"{name} cannot be read ({error.strerror}); index the passages again") from error
        if found.bytes != expected.bytes:
            raise Conflict(f"{name} has {found.bytes} bytes, the manifest says {expected.bytes}; index the passages again")
        if found.edges != expected.edges:
            raise Conflict(f"{name} differs from the checksum in its manifest; index the passages again")
