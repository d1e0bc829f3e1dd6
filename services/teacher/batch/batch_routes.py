"""Routes of batches: POST and GET /v1/batches, GET /v1/batches/{id}, POST /v1/batches/{id}/cancel."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from askback.contracts.teacher import BatchesResponse, BatchRequest, BatchState
from services.teacher.batch.batches import Batches


def batch_router(batches: Batches) -> APIRouter:
    """The HTTP face of `batches`. With the application it resumes what was left, and stops following at the end."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await batches.resume()
        yield
        await batches.close()

    router = APIRouter(prefix="/v1/batches", lifespan=lifespan)

    @router.post("", status_code=202)
    async def submit(request: Request) -> BatchState:
        return await batches.submit(await _read(request))

    @router.get("")
    async def listing() -> BatchesResponse:
        return batches.states()

    @router.get("/{batch_id}")
    async def state(batch_id: str) -> BatchState:
        return batches.state(batch_id)

    @router.post("/{batch_id}/cancel")
    async def cancel(batch_id: str) -> BatchState:
        return await batches.cancel(batch_id)

    return router


async def _read(request: Request) -> BatchRequest:
    """Parsed from the bytes in one go: the framework would read many megabytes twice, and hold up all other callers meanwhile."""
    try:
        return BatchRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
