"""What the teacher service tells of a run: who answers, at what price, and what is answered already."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from askback.contracts.client import TeacherClient
from askback.contracts.errors import InvalidInput
from askback.contracts.teacher import Backend, CachedRequest, ChatRequest, PriceResponse
from askback.loop.estimate.calls import Call
from askback.loop.patience import patiently

_AT_A_TIME = 200  # prompts a request; with ten passages each they are a megabyte


@dataclass(frozen=True)
class Prices:
    """What the run's teacher costs, and another model beside it."""

    own: PriceResponse
    other: PriceResponse | None


async def answerer(teacher: TeacherClient, wanted: str) -> Backend:
    """Who answers, in the harvest and at test time; raises InvalidInput when the service has no backend `wanted`."""
    named = {backend.name: backend for backend in (await patiently(teacher.backends)).backends}
    if wanted not in named:
        raise InvalidInput(f"harvest.teacher: the teacher service has no backend {wanted!r}; it has {', '.join(named)}")
    return named[wanted]


async def prices_of(teacher: TeacherClient, who: Backend, prompt_tokens: int, other_model: str, other_wanted: bool) -> Prices:
    """Prices for calls of `prompt_tokens`. A price of `other_model` that is not known is left out, or raises InvalidInput if it is wanted."""
    size = max(1, prompt_tokens)
    own = await patiently(partial(teacher.price, who.name, size))
    other = await patiently(partial(teacher.price, "teacher", size, other_model)) if other_model else None
    if other is not None and other.prompt_usd_per_million is None:
        if other_wanted:
            raise InvalidInput(f"--price-as: OpenAI's price of {other_model!r} is not known; name a model such as gpt-4 or gpt-4o-mini")
        other = None
    return Prices(own, other)


async def cached(teacher: TeacherClient, backend: Backend, calls: Sequence[Call]) -> list[bool]:
    """Which of `calls` the backend has in its cache; those whose prompt is not known word for word count as not cached."""
    exact = [number for number, call in enumerate(calls) if call.exact]
    known = [False] * len(calls)
    for start in range(0, len(exact), _AT_A_TIME):
        chunk = exact[start : start + _AT_A_TIME]
        requests = [ChatRequest(messages=list(calls[number].exact), metadata=calls[number].metadata).model_dump() for number in chunk]
        answer = await patiently(partial(teacher.cached, CachedRequest(model=backend.name, requests=requests)))
        for number, is_cached in zip(chunk, answer.cached, strict=True):
            known[number] = is_cached
    return known
