"""The routes, over TeacherClient and over the official OpenAI client."""

import asyncio
import json
from collections.abc import Callable

import httpx
import openai
import pytest
from fastapi import FastAPI

from askback.contracts.client import TeacherClient
from askback.contracts.errors import InvalidInput, NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.teacher import ActiveBackendRequest, ChatRequest, Recording, RecordingsRequest
from services.teacher.app import create_app
from services.teacher.backend import Completion
from services.teacher.core import Teacher

Ask = Callable[..., ChatRequest]
MakeTeacher = Callable[..., Teacher]
RECORDINGS = RecordingsRequest(
    backend="replay", recordings=[Recording(question_id="q1", question="Is water wet?", completion="The answer is yes.", model="gpt-4")]
)


class FakeUpstream:
    def __init__(self, error: ServiceError | None = None) -> None:
        self.error = error

    async def complete(self, request: ChatRequest) -> Completion:
        if self.error is not None:
            raise self.error
        return Completion("bought", "big-2026", 10, 5, 1.5e-7)


def http(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://teacher")


@pytest.fixture
def client(make_teacher: MakeTeacher) -> TeacherClient:
    return TeacherClient(http(create_app(make_teacher(paid=FakeUpstream()))))


async def test_record_and_ask_with_provenance(client: TeacherClient, ask: Ask) -> None:
    assert await client.ready()
    assert (await client.record(RECORDINGS)).stored == 1
    reply = await client.chat(ask("anything", metadata={"question_id": "q1"}))
    assert (reply.text, reply.model, reply.backend, reply.cache) == ("The answer is yes.", "gpt-4", "replay", "miss")
    assert len(reply.request_hash) == 64
    assert reply.usage.cost_usd == 0.0


async def test_a_paid_answer_shows_its_price_once(client: TeacherClient, ask: Ask) -> None:
    first, second = await client.chat(ask(model="paid")), await client.chat(ask(model="paid"))
    assert (first.text, first.backend, first.cache, first.usage.prompt_tokens, first.usage.completion_tokens) == ("bought", "paid", "miss", 10, 5)
    assert first.usage.cost_usd == pytest.approx(1.5e-7)
    assert (second.cache, second.usage.cost_usd, second.text) == ("hit", 0.0, "bought")
    assert second.request_hash == first.request_hash


async def test_usage_counts_paid_calls(make_teacher: MakeTeacher, ask: Ask) -> None:
    raw = http(create_app(make_teacher(paid=FakeUpstream())))
    client = TeacherClient(raw)
    for text in ("a", "b", "b"):
        await client.chat(ask(text, model="paid"))
    usage = (await raw.get("/v1/usage")).json()
    assert usage["total"]["calls"] == 2
    assert usage["backends"] == [{"backend": "paid", "calls": 2, "prompt_tokens": 20, "completion_tokens": 10, "cost_usd": pytest.approx(3e-7)}]


async def test_backends_and_models(make_teacher: MakeTeacher) -> None:
    raw = http(create_app(make_teacher()))
    client = TeacherClient(raw)
    assert [(b.name, b.kind, b.active) for b in (await client.backends()).backends][:2] == [("replay", "replay", True), ("gold", "gold", False)]
    swapped = await client.activate(ActiveBackendRequest(name="gold"))
    assert [b.name for b in swapped.backends if b.active] == ["gold"]
    with pytest.raises(NotFound, match="known: "):
        await client.activate(ActiveBackendRequest(name="tape"))
    assert [model["id"] for model in (await raw.get("/v1/models")).json()["data"]] == ["teacher", "replay", "gold", "paid", "backed"]


@pytest.mark.parametrize("error", [UpstreamRejected("bad"), UpstreamUnavailable("down")])
async def test_errors_keep_their_class_over_http(make_teacher: MakeTeacher, ask: Ask, error: ServiceError) -> None:
    raw = http(create_app(make_teacher(paid=FakeUpstream(error))))
    with pytest.raises(type(error), match=str(error)):
        await TeacherClient(raw).chat(ask(model="paid"))
    answer = await raw.post("/v1/chat/completions", json=ask(model="paid").model_dump())
    assert answer.status_code == error.status
    assert answer.json()["error"]["type"] == type(error).__name__
    assert answer.headers.get("x-should-retry") == ("false" if error.status == 502 else None)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"stream": True}, "streaming is not supported yet"),
        ({"n": 2}, "n: must be 1"),
        ({"logprobs": True}, "logprobs: is not supported"),
        ({"tools": [{}]}, "tools: is not supported"),
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "user"}]}, "messages.0.content: "),
        ({"metadata": {"sample_index": "x"}}, "metadata.sample_index"),
        ({"metadata": {"question_id": "\ud800"}}, "surrogate"),
        ({"seed": "\ud800"}, "JSON cannot carry"),
    ],
)
async def test_bad_requests_have_openais_error_shape(make_teacher: MakeTeacher, fields: dict, complaint: str) -> None:
    body = {"model": "teacher", "messages": [{"role": "user", "content": "Q: x?"}]} | fields
    answer = await http(create_app(make_teacher())).post(
        "/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["type"] == "InvalidInput" and error["code"] == "invalid_input" and complaint in error["message"]


async def test_bad_recordings_have_our_error_shape(make_teacher: MakeTeacher) -> None:
    raw = http(create_app(make_teacher()))
    missing = await raw.post("/v1/recordings", json={"recordings": []})
    assert missing.json() == {"error": "InvalidInput", "detail": "backend: Field required"}
    with pytest.raises(InvalidInput, match="kind openai"):
        await TeacherClient(raw).record(RecordingsRequest(backend="paid", recordings=[]))


async def test_the_official_client_is_served(make_teacher: MakeTeacher, serve_app: Callable[[FastAPI], str]) -> None:
    url = serve_app(create_app(make_teacher(paid=FakeUpstream())))
    async with TeacherClient.at(url) as client:
        await client.record(RECORDINGS)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as official:
        raw = await official.chat.completions.with_raw_response.create(
            model="teacher", messages=[{"role": "user", "content": "Q: Is water wet?\nStudent draft: no"}], metadata={"sample_index": "0"}
        )
        completion = raw.parse()
        assert completion.choices[0].message.content == "The answer is yes."
        assert (completion.object, completion.model, completion.choices[0].finish_reason) == ("chat.completion", "gpt-4", "stop")
        assert completion.usage is not None and completion.usage.total_tokens == 0
        assert (raw.headers["x-askback-backend"], raw.headers["x-cache"]) == ("replay", "miss")
        assert (await official.models.list()).data[0].id == "teacher"
        with pytest.raises(openai.NotFoundError, match="no backend 'gpt-9'; known: teacher, replay") as caught:
            await official.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Q: x?"}])
        assert (caught.value.type, caught.value.code) == ("NotFound", "not_found")
        with pytest.raises(openai.UnprocessableEntityError, match="streaming is not supported yet"):
            await official.chat.completions.create(model="teacher", messages=[{"role": "user", "content": "Q: x?"}], stream=True)


async def test_shutdown_waits_for_answers_under_way(make_teacher: MakeTeacher, ask: Ask) -> None:
    class SlowUpstream(FakeUpstream):
        async def complete(self, request: ChatRequest) -> Completion:
            await asyncio.sleep(0.1)
            return await super().complete(request)

    teacher = make_teacher(paid=SlowUpstream())
    app = create_app(teacher)
    async with app.router.lifespan_context(app):
        caller = asyncio.create_task(teacher.chat(ask(model="paid")))
        await asyncio.sleep(0.01)
        caller.cancel()
    assert teacher.usage().total.calls == 1
    assert (await teacher.chat(ask(model="paid"))).cache == "hit"
