"""Routes of the card's turn: GET /v1/engine, POST /v1/engine/sleep, POST /v1/engine/wake. Their lifespan watches the turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter

from askback.contracts.errors import Conflict
from askback.contracts.student import Adapter, EnginePhase, EngineStatus, SleepRequest, WakeRequest
from services.student.gpu.turn import GpuTurn


def gpu_router(turn: GpuTurn | None, prepare: Callable[[Adapter | None], Awaitable[None]]) -> APIRouter:
    """`turn` is None where the engine shares its card with nobody: it is never put to sleep, and a wake only loads the adapter."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        watching = asyncio.create_task(turn.watch()) if turn is not None else None
        yield
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    router = APIRouter(prefix="/v1/engine", lifespan=lifespan)

    @router.get("")
    async def status() -> EngineStatus:
        return await turn.status() if turn is not None else EngineStatus(shared=False, phase=EnginePhase.AWAKE)

    @router.post("/sleep")
    async def sleep(request: SleepRequest) -> EngineStatus:
        if turn is None:
            raise Conflict("GPU_LOCK is not set where the student runs, so its engine is not put to sleep; set it to the trainer's lock file")
        return await turn.sleep(request.holder)

    @router.post("/wake")
    async def wake(request: WakeRequest) -> EngineStatus:
        if turn is None:
            await prepare(request.adapter)
        else:
            turn.wake(request.adapter)
        return await status()

    return router
