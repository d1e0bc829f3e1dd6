import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event

import httpx
import pytest
from hashing_embedder import ANIMALS, HashingEmbedder, passage

from askback import __version__
from askback.contracts.client import RetrieverClient
from askback.contracts.errors import Conflict, InvalidInput, NotFound
from askback.contracts.retriever import IndexRequest, MultihopRequest, SearchMethod, SearchRequest
from services.retriever.app import create_app
from services.retriever.library import Library
from services.retriever.prometheus_metrics import PrometheusMetrics
from services.retriever.shapes import Vectors
from services.retriever.storage.store import IndexStore


class SlowEmbedder(HashingEmbedder):
    """Embeds texts with `Wolf` only once the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.gate = Event(), Event()

    def encode(self, texts: Sequence[str]) -> Vectors:
        if any("Wolf" in text for text in texts):
            self.reached.set()
            assert self.gate.wait(20)
        return super().encode(texts)


@pytest.fixture
def embedder() -> SlowEmbedder:
    return SlowEmbedder()


@pytest.fixture
async def http(tmp_path: Path, embedder: SlowEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    library = Library(IndexStore(tmp_path), embedder)
    app = create_app(library, PrometheusMetrics(library.sizes))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://retriever") as client:
        yield client


@pytest.fixture
def client(http: httpx.AsyncClient) -> RetrieverClient:
    return RetrieverClient(http)


async def test_index_then_search_through_the_client(client: RetrieverClient) -> None:
    stored = await client.index(IndexRequest(name="animals", passages=ANIMALS))
    assert (stored.name, stored.count, len(stored.checksum)) == ("animals", 4, 64)
    answer = await client.search(SearchRequest(queries=["dogs bark", "whales sing"], k=3, index="animals"))
    assert [hits[0].passage for hits in answer.hits] == [ANIMALS[1], ANIMALS[2]]
    assert [len(hits) for hits in answer.hits] == [3, 3]


async def test_the_listing_tells_names_counts_and_what_cannot_be_searched(http: httpx.AsyncClient, client: RetrieverClient, tmp_path: Path) -> None:
    assert (await http.get("/v1/indexes")).json() == {"indexes": []}
    stored = await client.index(IndexRequest(name="animals", passages=ANIMALS))
    (tmp_path / "broken").mkdir()
    listed = (await http.get("/v1/indexes")).json()["indexes"]
    assert listed[0] == {"name": "animals", "count": 4, "checksum": stored.checksum, "error": None}
    assert listed[1]["name"] == "broken"
    assert "manifest.json is missing" in listed[1]["error"]


async def test_errors_keep_their_class_and_status(http: httpx.AsyncClient, client: RetrieverClient, tmp_path: Path) -> None:
    await client.index(IndexRequest(name="animals", passages=ANIMALS))
    with pytest.raises(NotFound, match="no index 'default'; known indexes: animals"):
        await client.search(SearchRequest(queries=["dogs"]))
    (tmp_path / "broken").mkdir()
    with pytest.raises(Conflict, match=r"index 'broken': manifest\.json is missing"):
        await client.search(SearchRequest(queries=["dogs"], index="broken"))
    with pytest.raises(InvalidInput, match="id 'Dog' stands already"):
        await client.index(IndexRequest(name="animals", passages=[*ANIMALS, passage("Dog", "Another.")]))
    answer = await http.post("/v1/search", json={"queries": ["dogs"], "index": "../animals"})
    assert (answer.status_code, answer.json()["error"]) == (404, "NotFound")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"queries": []}, "queries"),
        ({"queries": ["a"], "k": 0}, "k"),
        ({"queries": ["a"], "method": "magic"}, "method"),
        ({"queries": ["a"], "depth": 3}, "depth"),
    ],
)
async def test_a_bad_search_is_refused_naming_the_field(http: httpx.AsyncClient, body: dict[str, object], field: str) -> None:
    answer = await http.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"] == "InvalidInput"
    assert answer.json()["detail"].startswith(f"{field}:")


@pytest.mark.parametrize("name", ["../up", "Upper", ".hidden", "a/b", "", "a\n"])
async def test_a_name_that_is_no_folder_name_is_refused(http: httpx.AsyncClient, tmp_path: Path, name: str) -> None:
    answer = await http.put("/v1/indexes", json={"name": name, "passages": [ANIMALS[0].model_dump()]})
    assert answer.status_code == 422
    assert list(tmp_path.iterdir()) == []


async def test_the_service_answers_and_searches_while_builds_run(http: httpx.AsyncClient, client: RetrieverClient, embedder: SlowEmbedder) -> None:
    await client.index(IndexRequest(name="default", passages=ANIMALS))
    wolf = IndexRequest(name="default", passages=[passage("Wolf", "Wolves howl.")])
    # more builds than asyncio has threads
    builds = [asyncio.create_task(client.index(wolf)) for _ in range(40)]
    assert await asyncio.to_thread(embedder.reached.wait, 20)
    assert (await http.get("/healthz")).json() == {"status": "ok", "service": "retriever", "version": __version__}
    assert (await http.get("/readyz")).status_code == 200
    for method in SearchMethod:
        answer = await client.search(SearchRequest(queries=["dogs bark"], k=1, method=method))
        assert answer.hits[0][0].passage.title == "Dog"
    assert not any(build.done() for build in builds)
    embedder.gate.set()
    assert {stored.count for stored in await asyncio.gather(*builds)} == {1}
    assert sum("Wolf" in text for text in embedder.seen) == 1
    answer = await client.search(SearchRequest(queries=["dogs bark"], k=1))
    assert answer.hits[0][0].passage.title == "Wolf"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"query": "a", "k": 10_000}, "k: Input should be less than or equal to 100"),
        ({"query": "a" * 100_000}, "query: String should have at most 4096 characters"),
        ({"queries": ["a", "b" * 4097]}, "queries.1: String should have at most 4096 characters"),
        ({"query": "", "index": "none"}, "query is empty; give the words"),
        ({"queries": ["a", " "]}, "queries.1 is empty; give the words"),
        ({}, "queries: give query, or queries"),
        ({"query": "a", "queries": ["a"]}, "queries: give query, or queries"),
        ({"query": "a", "method": "magic"}, "method: Input should be 'dense', 'bm25' or 'hybrid'"),
    ],
)
async def test_the_refusal_of_a_bad_search_names_the_remedy(http: httpx.AsyncClient, body: dict[str, object], reason: str) -> None:
    answer = await http.post("/v1/search", json=body)
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidInput")
    assert answer.json()["detail"].startswith(reason)


@pytest.mark.parametrize("body", [{"question": ""}, {"question": "a" * 4097}, {"question": "a", "k": 0}, {"question": "a", "hops": 3}, {"beam": 0}])
async def test_a_bad_multihop_search_is_refused(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await http.post("/v1/search/multihop", json=body)
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidInput")


async def test_titles_and_reranking(http: httpx.AsyncClient, client: RetrieverClient) -> None:
    await client.index(IndexRequest(name="default", passages=ANIMALS))
    for method in SearchMethod:
        answer = await client.search(SearchRequest(query="mice", method=method, titles=["cat", "DOG"]))
        assert [hit.passage.title for hit in answer.hits[0]] == ["Cat", "Dog"]
    with pytest.raises(NotFound, match="titles: no passage bears 'Wolf'"):
        await client.search(SearchRequest(query="mice", titles=["Wolf"]))
    with pytest.raises(InvalidInput, match="rerank: this service has no cross-encoder; start it with RERANKER"):
        await client.search(SearchRequest(query="mice", rerank=True))
    assert len((await client.multihop(MultihopRequest(question="mice", k=2))).hits) == 2
