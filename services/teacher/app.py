"""Routes of the teacher."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import StreamingResponse

from askback.contracts.teacher import (
    ActiveBackendRequest,
    BackendsResponse,
    BudgetRequest,
    BudgetState,
    RecordingsRequest,
    RecordingsResponse,
    UsageResponse,
)
from services.serving import create_service
from services.teacher.answers.cache import AnswerStore
from services.teacher.answers.cached_routes import cached_router
from services.teacher.answers.export import recordings_of
from services.teacher.answers.recordings import Recordings
from services.teacher.backends import Backends
from services.teacher.batch.batch_routes import batch_router
from services.teacher.batch.batches import Batches
from services.teacher.chat_door import ChatDoor
from services.teacher.core import Teacher
from services.teacher.description import describe_chat
from services.teacher.money.budget import Budget
from services.teacher.money.ledger import Ledger
from services.teacher.money.price_routes import price_router
from services.teacher.prometheus_metrics import PrometheusMetrics

SETTLE_S = 8.0  # a stop this much slower is worth an answer that is paid for


@dataclass(frozen=True)
class Parts:
    """All that the teacher is made of."""

    teacher: Teacher
    backends: Backends
    recordings: Recordings
    store: AnswerStore
    ledger: Ledger
    budget: Budget
    metrics: PrometheusMetrics
    batches: Batches
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What is to be closed at the end."""


def create_app(parts: Parts) -> ChatDoor:
    """The teacher's HTTP face. At shutdown it waits for answers that are paid for and still under way."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts.closing:
            yield
            await parts.teacher.settle(SETTLE_S)

    router = APIRouter(lifespan=lifespan)
    router.include_router(_backend_routes(parts.backends))
    router.include_router(_recording_routes(parts))
    router.include_router(cached_router(parts.teacher.knows))
    router.include_router(_money_routes(parts))
    router.include_router(price_router(parts.backends.priced))
    router.include_router(batch_router(parts.batches))
    app = create_service("teacher", router)
    describe_chat(app.openapi())
    return ChatDoor(app, parts.teacher, parts.metrics)


def _backend_routes(backends: Backends) -> APIRouter:
    router = APIRouter(tags=["backends"])

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "askback"} for name in backends.models()]
        return {"object": "list", "data": listed}

    @router.get("/v1/backends")
    async def list_backends() -> BackendsResponse:
        return backends.describe()

    @router.put("/v1/backends/active")
    async def activate(request: ActiveBackendRequest) -> BackendsResponse:
        await asyncio.to_thread(backends.activate, request.name)
        return backends.describe()

    return router


def _recording_routes(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["recordings"])

    @router.post("/v1/recordings")
    async def record(request: RecordingsRequest) -> RecordingsResponse:
        backend = parts.backends.recorded(request.backend)
        return RecordingsResponse(stored=await asyncio.to_thread(parts.recordings.store, backend.name, request.recordings))

    @router.get("/v1/recordings", response_class=StreamingResponse)
    async def export(backend: str) -> StreamingResponse:
        """Paid answers of a backend as JSONL, which a backend of kind `replay` reads."""
        lines = recordings_of(parts.store, parts.backends.spec(backend).name)
        return StreamingResponse(lines, media_type="application/x-ndjson")  # a plain iterator, so it is read in a thread

    return router


def _money_routes(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["money"])

    @router.get("/v1/usage")
    async def usage() -> UsageResponse:
        return parts.ledger.usage(parts.budget.states())

    @router.get("/v1/budgets")
    async def budgets() -> list[BudgetState]:
        return parts.budget.states()

    @router.put("/v1/budgets/total")
    async def limit_total(request: BudgetRequest) -> list[BudgetState]:
        await parts.budget.set_limit("total", request.limit_usd)
        return parts.budget.states()

    @router.put("/v1/budgets/runs/{run}")
    async def limit_run(run: str, request: BudgetRequest) -> list[BudgetState]:
        await parts.budget.set_limit(f"run:{run}", request.limit_usd)
        return parts.budget.states()

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(parts.metrics.render(), media_type=parts.metrics.content_type)

    return router
