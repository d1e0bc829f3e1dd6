"""Schemas of the retriever service."""

from enum import StrEnum

from pydantic import Field

from askback.contracts.records import Passage, Record


class SearchMethod(StrEnum):
    DENSE = "dense"
    BM25 = "bm25"
    HYBRID = "hybrid"


class IndexRequest(Record):
    """Passages to index under a name. Sent again with equal passages, it changes nothing."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    passages: list[Passage] = Field(min_length=1)


class IndexResponse(Record):
    name: str
    count: int
    checksum: str


class SearchRequest(Record):
    queries: list[str] = Field(min_length=1, max_length=256)
    k: int = Field(default=5, ge=1, le=100)
    method: SearchMethod = SearchMethod.HYBRID
    index: str = "default"


class Hit(Record):
    passage: Passage
    score: float


class SearchResponse(Record):
    hits: list[list[Hit]]
    """One list per query, best first."""
