"""Route that tells what tokens cost: GET /v1/prices."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query

from askback.contracts.teacher import PriceResponse
from services.teacher.config import OPENAI_URL, BackendSpec, OpenAISpec
from services.teacher.money.genai_prices_table import price_of
from services.teacher.money.prices import BATCH_FACTOR, Price

_MILLION = 1_000_000


def price_router(priced: Callable[[str], tuple[BackendSpec, Price | None]]) -> APIRouter:
    """`priced` finds a backend with its price."""
    router = APIRouter(tags=["money"])

    @router.get("/v1/prices")
    async def prices(
        backend: Annotated[str, Query(max_length=64)] = "teacher",
        model: Annotated[str, Query(max_length=128)] = "",
        prompt_tokens: Annotated[int, Query(ge=1, le=10 * _MILLION)] = 1000,
    ) -> PriceResponse:
        """What a million tokens cost in calls of `prompt_tokens`, at `backend` or, where `model` is given, of that model at OpenAI."""
        if model:
            listed = await asyncio.to_thread(price_of, OPENAI_URL, model, None, None)  # reads the table, which takes half a second once
            return _response("", model, listed, prompt_tokens, batches=True)
        spec, price = priced(backend)
        return _response(spec.name, spec.model, price, prompt_tokens, batches=isinstance(spec, OpenAISpec) and spec.batch)

    return router


def _response(backend: str, model: str, price: Price | None, prompt_tokens: int, *, batches: bool) -> PriceResponse:
    factor = BATCH_FACTOR if batches else None
    if price is None:
        return PriceResponse(backend=backend, model=model, prompt_usd_per_million=None, completion_usd_per_million=None, batch_factor=factor)
    prompt, whole = price.cost(prompt_tokens, 0, 0), price.cost(prompt_tokens, 0, _MILLION)
    return PriceResponse(
        backend=backend,
        model=model,
        prompt_usd_per_million=round(prompt * _MILLION / prompt_tokens, 9),
        completion_usd_per_million=round(whole - prompt, 9),
        batch_factor=factor,
    )
