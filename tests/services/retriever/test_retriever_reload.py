import asyncio
import json
from pathlib import Path

import httpx
from hashing_embedder import HashingEmbedder

from askback.contracts.client import RetrieverClient
from askback.contracts.retriever import MultihopRequest, SearchRequest
from services.retriever.app import create_app
from services.retriever.building.__main__ import build
from services.retriever.corpora.jsonl import Jsonl
from services.retriever.library import Library
from services.retriever.prometheus_metrics import PrometheusMetrics
from services.retriever.storage.store import IndexStore
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.settings import VectorSettings


def generation(path: Path, number: int) -> Jsonl:
    rows = [{"id": str(row), "title": f"Page {row}", "text": f"Generation{number} of page {row}."} for row in range(300)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Jsonl(path)


async def test_builds_replace_an_index_under_load_without_a_dropped_request(tmp_path: Path) -> None:
    store = IndexStore(tmp_path / "index")
    library = Library(store, HashingEmbedder())
    app = create_app(library, PrometheusMetrics(library.sizes))
    seen: list[str] = []
    stop = asyncio.Event()

    def rebuild(number: int) -> None:
        build(store, "pages", generation(tmp_path / f"{number}.jsonl", number), 0, HashingEmbedder(), VectorEngine(VectorSettings()))

    async def ask(client: RetrieverClient) -> None:
        while not stop.is_set():
            answer = await client.search(SearchRequest(query="page 17", k=3, index="pages"))  # raises for any answer but 200
            seen.append(answer.hits[0][0].passage.text.split()[0])
            await client.multihop(MultihopRequest(question="Which page is Page 17?", k=3, index="pages"))

    await asyncio.to_thread(rebuild, 0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://retriever") as http:
        client = RetrieverClient(http)
        askers = [asyncio.create_task(ask(client)) for _ in range(8)]
        for number in range(1, 6):
            await asyncio.to_thread(rebuild, number)
            before = len(seen)
            while len(seen) < before + 20 and not any(asker.done() for asker in askers):
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*askers)
    assert seen[0] == "Generation0"
    assert seen[-1] == "Generation5"
    assert set(seen) == {f"Generation{number}" for number in range(6)}
    assert len(list((tmp_path / "index" / ".builds" / "pages").glob("*/manifest.json"))) == 1
