"""Routes of the retriever."""

import asyncio

from fastapi import APIRouter, FastAPI

from askback.contracts.retriever import IndexRequest, IndexResponse, SearchRequest, SearchResponse
from services.retriever.library import IndexesResponse, Library
from services.serving import create_service


def create_app(library: Library) -> FastAPI:
    """The retriever's HTTP face over `library`, whose blocking work runs in threads."""
    router = APIRouter(prefix="/v1")
    one_build = asyncio.Lock()  # builds wait here and not in threads, which searches need

    @router.put("/indexes")
    async def put_index(request: IndexRequest) -> IndexResponse:
        async with one_build:
            return await asyncio.to_thread(library.put, request)

    @router.get("/indexes")
    async def list_indexes() -> IndexesResponse:
        return await asyncio.to_thread(library.entries)

    @router.post("/search")
    async def search(request: SearchRequest) -> SearchResponse:
        return await asyncio.to_thread(library.search, request)

    return create_service("retriever", router)
