"""What the retriever's /metrics tells of searches, builds and indexes."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hashing_embedder import ANIMALS, HashingEmbedder

from askback.contracts.client import RetrieverClient
from askback.contracts.errors import NotFound
from askback.contracts.retriever import IndexRequest, SearchMethod, SearchRequest
from services.retriever.app import create_app
from services.retriever.embedding.embedder import Embedder
from services.retriever.embedding.lazy_embedder import LazyEmbedder
from services.retriever.library import Library
from services.retriever.prometheus_metrics import PrometheusMetrics
from services.retriever.storage.store import IndexStore


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    library = Library(IndexStore(tmp_path), HashingEmbedder())
    app = create_app(library, PrometheusMetrics(library.sizes))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://retriever") as client:
        yield client


async def samples(http: httpx.AsyncClient) -> dict[str, float]:
    """Values by name and labels, without the prefix."""
    lines = (await http.get("/metrics")).raise_for_status().text.splitlines()
    return {name.removeprefix("askback_retriever_"): float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


async def test_queries_searches_and_builds_are_counted(http: httpx.AsyncClient) -> None:
    client = RetrieverClient(http)
    assert not [key for key in await samples(http) if key.startswith("passages")]
    await client.index(IndexRequest(name="animals", passages=ANIMALS))
    await client.search(SearchRequest(queries=["dogs bark", "whales sing"], k=1, index="animals"))
    await client.search(SearchRequest(queries=["dogs bark"], k=1, index="animals", method=SearchMethod.BM25))
    with pytest.raises(NotFound):
        await client.search(SearchRequest(queries=["dogs bark"], k=1, index="plants"))
    seen = await samples(http)
    assert (seen['queries_total{method="hybrid"}'], seen['queries_total{method="bm25"}']) == (2, 1)
    assert seen['search_seconds_count{method="hybrid"}'] == 1
    assert (seen["build_seconds_count"], seen['passages{index="animals"}']) == (1, 4)


async def test_sizes_leave_out_a_broken_index_and_load_no_embedder(http: httpx.AsyncClient, tmp_path: Path) -> None:
    await RetrieverClient(http).index(IndexRequest(name="animals", passages=ANIMALS))
    (tmp_path / "torn").mkdir()

    def load() -> Embedder:
        pytest.fail("the embedder was loaded")

    assert Library(IndexStore(tmp_path), LazyEmbedder(load)).sizes() == {"animals": 4}
