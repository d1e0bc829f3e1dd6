"""Schemas of the retriever service."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from askback.contracts.records import Passage, Record

Query = Annotated[str, Field(max_length=4096)]
"""Embedders read a few hundred words; what is longer is no question."""


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
    """One `query`, or several as `queries`."""

    query: Query | None = None
    queries: list[Query] | None = Field(default=None, min_length=1, max_length=256)
    k: int = Field(default=5, ge=1, le=100)
    method: SearchMethod = SearchMethod.HYBRID
    index: str = "default"
    titles: list[str] = Field(default_factory=list, max_length=64)
    """Only passages that bear one of these titles, whatever their case; all passages when it is empty."""
    rerank: bool = False
    """Order the best again with the service's cross-encoder."""


class Hit(Record):
    passage: Passage
    score: float


class SearchResponse(Record):
    hits: list[list[Hit]]
    """One list per query, best first."""


class MultihopRequest(Record):
    """A question whose answer needs two pages, one of which tells which the other is."""

    question: Query
    k: int = Field(default=10, ge=1, le=100)
    hops: int = Field(default=2, ge=1, le=2)
    """1 searches as `hybrid` does."""
    beam: int = Field(default=5, ge=1, le=20)
    """Passages of the first hop from which the second goes on."""
    index: str = "default"
    rerank: bool = False


class MultihopResponse(Record):
    hits: list[Hit]
    """Pages of both hops, best first."""
    queries: list[str]
    """What the second hop searched for."""
