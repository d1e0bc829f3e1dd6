"""What a run's forecast asks the teacher: prices, and what is answered already."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scripted_upstream import ScriptedUpstream

from askback.contracts.client import TeacherClient
from askback.contracts.errors import InvalidInput, NotFound
from askback.contracts.records import Message
from askback.contracts.teacher import CachedRequest, ChatRequest, Recording, RecordingsRequest
from services.serving import create_service
from services.teacher.app import Parts, create_app
from services.teacher.config import OpenAISpec, ReplaySpec
from services.teacher.money.price_routes import price_router
from services.teacher.money.prices import Rates, TokenPrice

MakeParts = Callable[..., Parts]


def body(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


@pytest.fixture
def upstream() -> ScriptedUpstream:
    return ScriptedUpstream()


@pytest.fixture
def client(make_parts: MakeParts, upstream: ScriptedUpstream) -> TeacherClient:
    app = create_app(make_parts(paid=upstream, backed=ScriptedUpstream()))
    return TeacherClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://teacher"))


async def test_prices_of_a_backend_of_recordings_and_of_another_model(client: TeacherClient) -> None:
    paid = await client.price("paid")
    assert (paid.backend, paid.model, paid.batch_factor) == ("paid", "big", None)
    assert (paid.prompt_usd_per_million, paid.completion_usd_per_million) == (1.0, 2.0)
    active = await client.price()
    assert (active.backend, active.prompt_usd_per_million, active.completion_usd_per_million) == ("replay", 0.0, 0.0)
    other = await client.price("paid", openai_model="gpt-4")
    assert (other.backend, other.model, other.batch_factor) == ("", "gpt-4", 0.5)
    assert (other.prompt_usd_per_million, other.completion_usd_per_million) == (30.0, 60.0)
    unheard_of = await client.price(openai_model="unheard-of")
    assert (unheard_of.prompt_usd_per_million, unheard_of.completion_usd_per_million) == (None, None)
    with pytest.raises(NotFound, match="no backend 'nobody'; known: teacher"):
        await client.price("nobody")
    with pytest.raises(InvalidInput, match="prompt_tokens"):
        await client.price(prompt_tokens=0)


@pytest.mark.parametrize(("tokens", "prompt", "completion"), [(100, 3.0, 2.0), (1000, 1.2, 2.0), (2000, 5.1, 8.0)])
async def test_price_by_prompt_size_and_of_a_call_as_such(tokens: int, prompt: float, completion: float) -> None:
    tiers = [Rates(0, 1e-6, 1e-6, 1e-6, 2e-6), Rates(1000, 5e-6, 5e-6, 5e-6, 8e-6)]
    spec = OpenAISpec(name="tiered", kind="openai", model="big", batch=True)
    app = create_service("teacher", price_router(lambda _: (spec, TokenPrice(tiers, call_usd=0.0002))))
    client = TeacherClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://teacher"))
    price = await client.price("tiered", tokens)
    assert (price.prompt_usd_per_million, price.completion_usd_per_million, price.batch_factor) == (prompt, completion, 0.5)


async def test_an_unknown_price_is_null_and_not_zero() -> None:
    spec = OpenAISpec(name="own", kind="openai", model="big")
    app = create_service("teacher", price_router(lambda _: (spec, None)))
    client = TeacherClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://teacher"))
    price = await client.price("own")
    assert (price.model, price.prompt_usd_per_million, price.completion_usd_per_million, price.batch_factor) == ("big", None, None, None)


async def test_cached_tells_what_was_bought_and_buys_nothing(client: TeacherClient, upstream: ScriptedUpstream) -> None:
    await client.chat(ChatRequest(model="paid", messages=[Message(role="user", content="bought")], metadata={"question_id": "q1"}))
    before = len(upstream.sent)
    requests = [body("new"), body("bought"), body("bought", model="replay", metadata={"question_id": "q2"}), body("bought", temperature=0.5)]
    assert (await client.cached(CachedRequest(model="paid", requests=requests))).cached == [False, True, True, False]
    assert (await client.cached(CachedRequest(model="backed", requests=requests[1:2]))).cached == [False]
    assert len(upstream.sent) == before


async def test_cached_finds_what_is_in_the_store_alone(make_parts: MakeParts, upstream: ScriptedUpstream) -> None:
    first = TeacherClient(
        httpx.AsyncClient(transport=httpx.ASGITransport(create_app(make_parts(paid=upstream, backed=upstream))), base_url="http://t")
    )
    await first.chat(ChatRequest(model="paid", messages=[Message(role="user", content="bought")]))
    later = create_app(make_parts(paid=upstream, backed=upstream))
    second = TeacherClient(httpx.AsyncClient(transport=httpx.ASGITransport(later), base_url="http://t"))
    assert (await second.cached(CachedRequest(model="paid", requests=[body("bought"), body("new")]))).cached == [True, False]


async def test_cached_of_recordings(client: TeacherClient) -> None:
    recording = Recording(question_id="q1", question="Is water wet?", completion="The answer is yes.")
    await client.record(RecordingsRequest(backend="replay", recordings=[recording]))
    requests = [body("x", metadata={"question_id": "q1"}), body("Q: Is water wet?"), body("x", metadata={"question_id": "q2"})]
    assert (await client.cached(CachedRequest(requests=requests))).cached == [True, True, False]
    again = [body("x", metadata={"question_id": "q1", "sample_index": "1"})]
    assert (await client.cached(CachedRequest(requests=again))).cached == [False]


async def test_cached_refuses_with_the_place_and_within_bounds(client: TeacherClient) -> None:
    with pytest.raises(InvalidInput, match=r"requests\[1\]: messages: must be a list"):
        await client.cached(CachedRequest(model="paid", requests=[body("a"), {}]))
    with pytest.raises(NotFound, match="no backend 'nobody'"):
        await client.cached(CachedRequest(model="nobody", requests=[body("a")]))
    many = [body("a")] * 1001
    answer = await client.send("POST", "/v1/cached", CachedRequest.model_construct(model="paid", requests=many[:1000]))
    assert len(answer.json()["cached"]) == 1000
    with pytest.raises(InvalidInput, match="requests: List should have at most 1000"):
        await client.send("POST", "/v1/cached", CachedRequest.model_construct(model="paid", requests=many))


async def test_both_are_described(client: TeacherClient) -> None:
    described = (await client.send("GET", "/openapi.json")).json()
    assert {"/v1/prices", "/v1/cached"} <= described["paths"].keys()
    assert described["components"]["schemas"]["CachedRequest"]["properties"]["requests"]["maxItems"] == 1000


def test_recordings_cost_nothing(make_parts: MakeParts) -> None:
    spec, price = make_parts(paid=ScriptedUpstream(), backed=ScriptedUpstream()).backends.priced("replay")
    assert isinstance(spec, ReplaySpec) and price is not None
    assert price.cost(10**6, 0, 10**6) == 0.0
