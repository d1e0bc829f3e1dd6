"""What a build of vectors may be told, from the environment or from a caller."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Record


class Layout(StrEnum):
    """Where the vectors of an approximate index lie, beside the small codes that find the candidates in memory."""

    AUTO = "auto"
    EXACT = "exact"
    """Whole vectors, compared one by one."""
    MEMORY = "memory"
    """A code of eight bits a dimension in memory orders the candidates; nothing is read from disk."""
    DISK = "disk"
    """A code of four bits a dimension in memory orders the candidates, and half precision, mapped from disk, the best few of them."""
    SMALL = "small"
    """Half precision, mapped from disk, orders all candidates: the least memory, and fast where the disk's cache is warm."""


class VectorSettings(Record):
    """`memory_gb` (10⁹ bytes) is what the whole service may hold; 0 in `lists`, `subquantisers` and `bits` leaves them to count and layout."""

    recall: float = Field(default=0.98, gt=0.0, lt=1.0)
    memory_gb: float = Field(default=3.0, gt=0.0)
    exact_below: int = Field(default=100_000, ge=0)
    layout: Layout = Layout.AUTO
    threads: int = Field(default=1, ge=1)
    """Threads of one search."""
    build_threads: int = Field(default=0, ge=0)
    """Threads of the build; 0 takes all processors."""
    lists: int = Field(default=0, ge=0)
    subquantisers: int = Field(default=0, ge=0)
    bits: Literal[0, 4, 8] = 0
    queries: Path | None = None
    """A .npy of query vectors to tune with; without it passages are perturbed."""
    held_out: int = Field(default=2000, ge=20)
    """Queries that the parameters are chosen on, and as many again that they are verified on. The more, the less a search has to exceed its
    target to be sure of it: two standard errors are about a point of recall with 500 and half a point with 2,000."""
    block: int = Field(default=65_536, ge=1)
    """Vectors that are worked on at a time; a killed build loses one such block at most."""
    seed: int = Field(default=0, ge=0)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "VectorSettings":
        """Read RETRIEVER_RECALL, RETRIEVER_MEMORY_GB, RETRIEVER_LAYOUT and RETRIEVER_THREADS; raises InvalidInput naming the variable."""
        names = {"recall": "RETRIEVER_RECALL", "memory_gb": "RETRIEVER_MEMORY_GB", "layout": "RETRIEVER_LAYOUT", "threads": "RETRIEVER_THREADS"}
        try:
            return cls.model_validate({field: environment[name] for field, name in names.items() if environment.get(name)})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"{names[str(first['loc'][0])]}: {first['msg'].lower()}, not {first['input']!r}") from error
