"""Routes of the retriever."""

import asyncio
import time

from fastapi import APIRouter, FastAPI, Response

from askback.contracts.retriever import IndexRequest, IndexResponse, MultihopRequest, MultihopResponse, SearchRequest, SearchResponse
from services.retriever.library import IndexesResponse, Library
from services.retriever.prometheus_metrics import PrometheusMetrics
from services.serving import create_service


def create_app(library: Library, metrics: PrometheusMetrics) -> FastAPI:
    """The retriever's HTTP face over `library`, whose blocking work runs in threads."""
    router = APIRouter()
    one_build = asyncio.Lock()  # builds wait here and not in threads, which searches need

    @router.put("/v1/indexes")
    async def put_index(request: IndexRequest) -> IndexResponse:
        async with one_build:
            began = time.monotonic()
            stored = await asyncio.to_thread(library.put, request)
        metrics.built(time.monotonic() - began)
        return stored

    @router.get("/v1/indexes")
    async def list_indexes() -> IndexesResponse:
        return await asyncio.to_thread(library.entries)

    @router.post("/v1/search")
    async def search(request: SearchRequest) -> SearchResponse:
        began = time.monotonic()
        found = await asyncio.to_thread(library.search, request)
        metrics.searched(request.method.value, len(found.hits), time.monotonic() - began)
        return found

    @router.post("/v1/search/multihop")
    async def multihop(request: MultihopRequest) -> MultihopResponse:
        began = time.monotonic()
        found = await asyncio.to_thread(library.multihop, request)
        metrics.searched("multihop", 1, time.monotonic() - began)
        return found

    @router.get("/metrics", response_class=Response)
    def shown() -> Response:
        return Response(metrics.render(), media_type=metrics.content_type)

    return create_service("retriever", router)
