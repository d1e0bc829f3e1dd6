"""Routes: the playground at /, POST /v1/clarify, /v1/answer, /v1/ask; GET/POST/DELETE /v1/adapters, PUT /v1/adapters/default."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from askback.contracts.student import (
    Adapter,
    AdaptersResponse,
    AnswerRequest,
    AnswerResponse,
    AskRequest,
    AskResponse,
    ClarifyRequest,
    ClarifyResponse,
    DefaultAdapterRequest,
)
from services.serving import create_service
from services.student import ask_stream, asking
from services.student.adapters import Adapters
from services.student.answering import Answering
from services.student.engine import Engine
from services.student.playground.playground_routes import playground_router
from services.student.resolvers import Resolvers

_STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def create_app(engine: Engine, adapters: Adapters, resolvers: Resolvers, *more: APIRouter) -> FastAPI:
    """The student's HTTP face over an engine, with the routes of `more` beside its own."""
    whole = APIRouter()
    for router in (playground_router(), _asking_router(Answering(engine, adapters), resolvers), _adapters_router(adapters), *more):
        whole.include_router(router)

    async def ready() -> str:
        return "" if await engine.healthy() else "the engine does not answer /health"

    return create_service("student", whole, ready)


def _asking_router(answering: Answering, resolvers: Resolvers) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.post("/clarify")
    async def clarify(request: ClarifyRequest) -> ClarifyResponse:
        return await answering.clarify(request)

    @router.post("/answer")
    async def answer(request: AnswerRequest) -> AnswerResponse:
        return await answering.answer(request)

    @router.post("/ask", response_model=AskResponse, responses=_STREAMED)
    async def ask(request: AskRequest, caller: Request) -> AskResponse | Response:
        if request.stream:
            return await ask_stream.stream(asking.steps(request, answering, resolvers), caller)
        return await asking.ask(request, answering, resolvers)

    return router


def _adapters_router(adapters: Adapters) -> APIRouter:
    router = APIRouter(prefix="/v1/adapters")

    @router.get("")
    async def list_adapters() -> AdaptersResponse:
        return adapters.listing()

    @router.post("")
    async def add_adapter(adapter: Adapter) -> AdaptersResponse:
        await adapters.add(adapter)
        return adapters.listing()

    @router.put("/default")
    async def make_default(request: DefaultAdapterRequest) -> AdaptersResponse:
        adapters.make_default(request.name)
        return adapters.listing()

    @router.delete("/{name}")
    async def remove_adapter(name: str) -> AdaptersResponse:
        await adapters.remove(name)
        return adapters.listing()

    return router
