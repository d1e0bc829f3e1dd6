"""Route that tells what is answered already: POST /v1/cached. Nothing is bought."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from fastapi import APIRouter

from askback.contracts.errors import InvalidInput
from askback.contracts.teacher import CachedRequest, CachedResponse
from services.teacher.request.asked import Asked, read_request

_AT_A_TIME = 50  # some milliseconds of work, after which other requests get their turn


def cached_router(knows: Callable[[Asked], Awaitable[bool]]) -> APIRouter:
    """`knows` tells whether one request has an answer."""
    router = APIRouter(tags=["recordings"])

    @router.post("/v1/cached")
    async def cached(request: CachedRequest) -> CachedResponse:
        """Which requests would be answered without a purchase. Raises InvalidInput naming `requests[i]`, NotFound for an unknown model."""
        known: list[bool] = []
        for number, body in enumerate(request.requests):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            known.append(await knows(_read(number, body | {"model": request.model})))
        return CachedResponse(cached=known)

    return router


def _read(number: int, body: dict[str, object]) -> Asked:
    try:
        return read_request(orjson.dumps(body))
    except (InvalidInput, orjson.JSONEncodeError) as error:
        raise InvalidInput(f"requests[{number}]: {error}") from None
