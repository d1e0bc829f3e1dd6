"""Routes: POST /v1/clarify, /v1/answer, /v1/ask; GET/POST/DELETE /v1/adapters, PUT /v1/adapters/default."""

from fastapi import APIRouter, FastAPI

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
from services.student import asking
from services.student.adapters import Adapters
from services.student.answering import Answering
from services.student.engine import Engine
from services.student.resolvers import Resolvers


def create_app(engine: Engine, adapters: Adapters, resolvers: Resolvers) -> FastAPI:
    """The student's HTTP face over an engine."""
    router = APIRouter(prefix="/v1")
    answering = Answering(engine, adapters)

    @router.post("/clarify")
    async def clarify(request: ClarifyRequest) -> ClarifyResponse:
        return await answering.clarify(request)

    @router.post("/answer")
    async def answer(request: AnswerRequest) -> AnswerResponse:
        return await answering.answer(request)

    @router.post("/ask")
    async def ask(request: AskRequest) -> AskResponse:
        return await asking.ask(request, answering, resolvers)

    @router.get("/adapters")
    async def list_adapters() -> AdaptersResponse:
        return adapters.listing()

    @router.post("/adapters")
    async def add_adapter(adapter: Adapter) -> AdaptersResponse:
        await adapters.add(adapter)
        return adapters.listing()

    @router.put("/adapters/default")
    async def make_default(request: DefaultAdapterRequest) -> AdaptersResponse:
        adapters.make_default(request.name)
        return adapters.listing()

    @router.delete("/adapters/{name}")
    async def remove_adapter(name: str) -> AdaptersResponse:
        await adapters.remove(name)
        return adapters.listing()

    async def ready() -> str:
        return "" if await engine.healthy() else "the engine does not answer /health"

    return create_service("student", router, ready)
