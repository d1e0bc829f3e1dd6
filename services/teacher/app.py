"""Routes of the teacher."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse

from askback.contracts.teacher import ActiveBackendRequest, BackendsResponse, ChatRequest, RecordingsRequest, RecordingsResponse
from services.serving import create_service
from services.teacher.answers import UsageResponse
from services.teacher.core import Teacher
from services.teacher.wire import OpenAIRoute, completion_response, models_body, refuse_unsupported

SETTLE_S = 8.0  # a stop this much slower is worth an answer that is paid for


def create_app(teacher: Teacher) -> FastAPI:
    """The teacher's HTTP face. At shutdown it waits for answers that are paid for and still under way."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await teacher.settle(SETTLE_S)

    router = APIRouter(lifespan=lifespan)
    chat_router = APIRouter(route_class=OpenAIRoute)

    @chat_router.post("/v1/chat/completions", response_model=None)
    async def chat(request: ChatRequest) -> JSONResponse:
        refuse_unsupported(request)
        return completion_response(await teacher.chat(request))

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        return models_body(teacher.models())

    @router.post("/v1/recordings")
    async def record(request: RecordingsRequest) -> RecordingsResponse:
        return RecordingsResponse(stored=await teacher.record(request))

    @router.get("/v1/backends")
    async def backends() -> BackendsResponse:
        return teacher.backends()

    @router.put("/v1/backends/active")
    async def activate(request: ActiveBackendRequest) -> BackendsResponse:
        await teacher.activate(request.name)
        return teacher.backends()

    @router.get("/v1/usage")
    async def usage() -> UsageResponse:
        return teacher.usage()

    router.include_router(chat_router)
    return create_service("teacher", router)
