"""The routes, over TeacherClient and over raw HTTP."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from scripted_upstream import ScriptedUpstream, completion
from starlette.types import ASGIApp

from askback.contracts.client import TeacherClient
from askback.contracts.errors import InvalidInput, NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Message
from askback.contracts.teacher import ActiveBackendRequest, ChatRequest, Recording, RecordingsRequest
from services.teacher.app import Parts, create_app
from services.teacher.request.asked import Asked
from services.teacher.upstream.protocol import NotSent, Refused

Ask = Callable[..., Asked]
MakeParts = Callable[..., Parts]
RECORDINGS = RecordingsRequest(
    backend="replay", recordings=[Recording(question_id="q1", question="Is water wet?", completion="The answer is yes.", model="gpt-4")]
)
PATH = "/v1/chat/completions"


def request(text: str = "Q: Is water wet?", model: str = "teacher", **fields: Any) -> ChatRequest:
    return ChatRequest(model=model, messages=[Message(role="user", content=text)], **fields)


def http(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://teacher")


@pytest.fixture
def raw(make_parts: MakeParts) -> httpx.AsyncClient:
    return http(create_app(make_parts(paid=ScriptedUpstream(), backed=ScriptedUpstream())))


@pytest.fixture
def client(raw: httpx.AsyncClient) -> TeacherClient:
    return TeacherClient(raw)


async def test_record_and_ask_with_provenance(client: TeacherClient) -> None:
    assert await client.ready()
    assert (await client.record(RECORDINGS)).stored == 1
    reply = await client.chat(request("anything", metadata={"question_id": "q1"}))
    assert (reply.text, reply.model, reply.backend, reply.cache) == ("The answer is yes.", "gpt-4", "replay", "miss")
    assert len(reply.request_hash) == 64
    assert reply.usage.cost_usd == 0.0


async def test_a_paid_answer_shows_its_price_once(client: TeacherClient) -> None:
    first, second = await client.chat(request(model="paid")), await client.chat(request(model="paid"))
    used = (first.usage.prompt_tokens, first.usage.completion_tokens)
    assert (first.text, first.backend, first.cache, used) == ("answer 1", "paid", "miss", (10, 5))
    assert first.usage.cost_usd == pytest.approx(2e-5)
    assert (second.cache, second.usage.cost_usd, second.text) == ("hit", 0.0, "answer 1")
    assert second.request_hash == first.request_hash


async def test_headers_of_a_hit(raw: httpx.AsyncClient) -> None:
    body = {"model": "paid", "messages": [{"role": "user", "content": "a"}]}
    miss = await raw.post(PATH, json=body, headers={"x-request-id": "mine"})
    assert (miss.headers["x-request-id"], miss.headers["x-cache"], "age" in miss.headers) == ("mine", "miss", False)
    hit = await raw.post(PATH, json=body, headers={"x-request-id": "bad\x7fone"})
    assert (hit.headers["x-cache"], hit.headers["age"], hit.headers["x-askback-cost-usd"]) == ("hit", "0", "0")
    assert len(hit.headers["x-request-id"]) == 24
    assert hit.content == miss.content


async def test_a_kept_answer_is_streamed_without_usage_unless_asked(raw: httpx.AsyncClient) -> None:
    body = {"model": "paid", "messages": [{"role": "user", "content": "a"}]}
    await raw.post(PATH, json=body)
    streamed = await raw.post(PATH, json=body | {"stream": True})
    assert (streamed.headers["x-cache"], streamed.headers["content-type"]) == ("hit", "text/event-stream; charset=utf-8")
    assert streamed.text.endswith("data: [DONE]\n\n") and "usage" not in streamed.text
    assert '"usage"' in (await raw.post(PATH, json=body | {"stream": True, "stream_options": {"include_usage": True}})).text


async def test_usage_by_run_and_budgets(raw: httpx.AsyncClient) -> None:
    client = TeacherClient(raw)
    for run, text in (("r1", "a"), ("r1", "b"), ("r2", "b"), ("r2", "c")):
        await client.chat(request(text, model="paid"), run)
    usage = (await raw.get("/v1/usage")).json()
    assert usage["total"]["calls"] == 3
    assert [(row["name"], row["calls"]) for row in usage["by_run"]] == [("r1", 2), ("r2", 1)]
    assert [row["name"] for row in usage["by_backend"]] == ["paid"]
    assert (await raw.put("/v1/budgets/runs/r2", json={"limit_usd": 0.0})).status_code == 200
    refused = await raw.post(PATH, json=request("d", model="paid").model_dump(), headers={"x-askback-run": "r2"})
    assert refused.status_code == 402
    message = refused.json()["error"]["message"]
    for said in ("run:r2", "are spent", "reserved", "PUT /v1/budgets/runs/r2", "limit_usd"):
        assert said in message
    assert (await raw.post(PATH, json=request("d", model="paid").model_dump(), headers={"x-askback-run": "r1"})).status_code == 200
    states = {state["name"]: state["limit_usd"] for state in (await raw.get("/v1/budgets")).json()}
    assert states == {"total": None, "run:r1": None, "run:r2": 0.0}
    assert (await raw.put("/v1/budgets/total", json={"limit_usd": -1})).json()["error"] == "InvalidInput"


async def test_backends_and_models(raw: httpx.AsyncClient) -> None:
    client = TeacherClient(raw)
    assert [(b.name, b.kind, b.active) for b in (await client.backends()).backends][:2] == [("replay", "replay", True), ("gold", "gold", False)]
    swapped = await client.activate(ActiveBackendRequest(name="gold"))
    assert [b.name for b in swapped.backends if b.active] == ["gold"]
    with pytest.raises(NotFound, match="known: "):
        await client.activate(ActiveBackendRequest(name="tape"))
    assert [model["id"] for model in (await raw.get("/v1/models")).json()["data"]] == ["teacher", "replay", "gold", "paid", "backed"]


@pytest.mark.parametrize(
    ("failures", "error"), [([Refused("bad", 400, "", {})], UpstreamRejected), ([NotSent("down"), NotSent("down")], UpstreamUnavailable)]
)
async def test_errors_keep_their_class_over_http(make_parts: MakeParts, failures: list[Any], error: type[ServiceError]) -> None:
    raw = http(create_app(make_parts(paid=ScriptedUpstream(*failures, *failures))))
    with pytest.raises(error, match=r"bad|down"):
        await TeacherClient(raw).chat(request(model="paid"))
    answer = await raw.post(PATH, json=request(model="paid").model_dump())
    assert answer.status_code == error.status
    assert answer.json()["error"]["type"] == error.__name__
    assert answer.headers.get("x-should-retry") == ("false" if error is UpstreamRejected else None)
    assert ("retry-after" in answer.headers) == (error is UpstreamUnavailable)


@pytest.mark.parametrize(("answer", "complaint"), [(completion("cut", "length"), "raise max_tokens"), (completion(" "), "holds no text")])
async def test_the_typed_client_refuses_a_text_that_is_not_whole(make_parts: MakeParts, answer: dict[str, Any], complaint: str) -> None:
    client = TeacherClient(http(create_app(make_parts(paid=ScriptedUpstream(answer)))))
    with pytest.raises(UpstreamRejected, match=complaint):
        await client.chat(request(model="paid"))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"stream": "yes"}, "stream: must be true or false"),
        ({"stream_options": 1}, "stream_options: "),
        ({"model": 3}, "model: must be a text"),
        ({"messages": []}, "messages: "),
        ({"messages": ["a"]}, "messages.0: "),
        ({"messages": [{"content": "a"}]}, "messages.0.role: "),
        ({"messages": [{"role": "user"}]}, "messages.0.content: "),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content: "),
        ({"metadata": {"sample_index": "x"}}, "metadata.sample_index"),
        ({"metadata": {"question_id": 1}}, "metadata: "),
        ({"metadata": {"question_id": "\ud800"}}, "not JSON"),
        ({"model": "paid", "n": 0}, "n: must be a whole number"),
        ({"model": "paid", "max_tokens": "many"}, "max_tokens: must be a whole number"),
        ({"model": "paid", "prediction": {"type": "content"}}, "prediction: its cost has no upper bound"),
        ({"model": "paid", "service_tier": "priority"}, "service_tier: "),
        ({"model": "paid", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content: the cost of a part"),
    ],
)
async def test_bad_requests_have_openais_error_shape(raw: httpx.AsyncClient, fields: dict[str, Any], complaint: str) -> None:
    body = {"model": "teacher", "messages": [{"role": "user", "content": "Q: x?"}]} | fields
    answer = await raw.post(PATH, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["type"] == "InvalidInput" and error["code"] == "invalid_input" and complaint in error["message"]


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"cache-control": "max-age=soon"}, "Cache-Control: max-age"),
        ({"x-askback-deadline-s": "-1"}, "x-askback-deadline-s"),
        ({"x-askback-deadline-s": "nan"}, "x-askback-deadline-s"),
        ({"x-askback-run": "r" * 200}, "x-askback-run"),
    ],
)
async def test_bad_headers_are_named(raw: httpx.AsyncClient, headers: dict[str, str], complaint: str) -> None:
    answer = await raw.post(PATH, json=request().model_dump(), headers=headers)
    assert answer.status_code == 422 and complaint in answer.json()["error"]["message"]


async def test_bad_recordings_and_unknown_routes_have_our_error_shape(raw: httpx.AsyncClient) -> None:
    missing = await raw.post("/v1/recordings", json={"recordings": []})
    assert missing.json() == {"error": "InvalidInput", "detail": "backend: Field required"}
    with pytest.raises(InvalidInput, match="kind openai"):
        await TeacherClient(raw).record(RecordingsRequest(backend="paid", recordings=[]))
    assert (await raw.get("/v1/nothing")).json() == {"error": "NotFound", "detail": "GET /v1/nothing: Not Found"}
    wrong_verb = await raw.get(PATH)
    assert (wrong_verb.status_code, wrong_verb.headers["allow"]) == (405, "POST")
    assert wrong_verb.json()["error"]["message"] == "GET: this route knows POST alone"


async def test_a_harvest_is_exported_and_replayed_by_someone_else(raw: httpx.AsyncClient) -> None:
    client = TeacherClient(raw)
    asked = [request("Q: Is ice cold?", metadata={"question_id": "q7"}), request("Q: Is ice cold?\nagain"), request("no question at all")]
    bought = [(await client.chat(one.model_copy(update={"model": "paid"}))).text for one in asked]
    lines = (await raw.get("/v1/recordings", params={"backend": "paid"})).text.splitlines()
    rows = [Recording.model_validate_json(line) for line in lines]
    assert [(row.question, row.completion, row.model) for row in rows] == [
        ("Is ice cold?", bought[0], "big-2026"),
        ("Is ice cold?", bought[1], "big-2026"),
        ("", bought[2], "big-2026"),
    ]
    await client.record(RecordingsRequest(backend="replay", recordings=rows))
    assert [(await client.chat(one.model_copy(update={"model": "replay"}))).text for one in asked] == bought
    assert (await client.chat(request("by its id", model="replay", metadata={"question_id": "q7"}))).text == bought[0]


async def test_metrics_count_what_happened(raw: httpx.AsyncClient) -> None:
    client = TeacherClient(raw)
    for _ in range(3):
        await client.chat(request(model="paid"))
    with pytest.raises(InvalidInput):
        await client.chat(request(model="paid", n=0))
    shown = (await raw.get("/metrics")).text
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in shown.splitlines() if line[0] != "#")}
    for name, value in {
        'requests_total{backend="paid",cache="miss"}': 1,
        'requests_total{backend="paid",cache="hit"}': 2,
        'refusals_total{error="InvalidInput"}': 1,
        'upstream_tries_total{backend="paid",outcome="200"}': 1,
        'tokens_total{backend="paid",kind="prompt"}': 10,
        'booked_usd_total{backend="paid"}': 2e-5,
        'saved_usd_total{backend="paid"}': 4e-5,
        "spent_usd": 2e-5,
    }.items():
        assert values[f"askback_teacher_{name}"] == pytest.approx(value)


async def test_the_description_names_the_chat_route(raw: httpx.AsyncClient) -> None:
    described = (await raw.get("/openapi.json")).json()
    body = described["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "messages" in body["properties"] and "Message" in described["components"]["schemas"]


async def test_shutdown_waits_for_answers_under_way(make_parts: MakeParts, ask: Ask) -> None:
    upstream = ScriptedUpstream(hold=True)
    parts = make_parts(paid=upstream)
    sent: list[Any] = []
    messages = asyncio.Queue[dict[str, Any]]()
    for kind in ("startup", "shutdown"):
        messages.put_nowait({"type": f"lifespan.{kind}"})

    async def tell(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "lifespan.startup.complete":
            caller = asyncio.create_task(parts.teacher.ask(ask(model="paid")))
            await asyncio.sleep(0.01)
            caller.cancel()
            asyncio.get_running_loop().call_later(0.05, upstream.go.set)

    await create_app(parts)({"type": "lifespan", "asgi": {}, "state": {}}, messages.get, tell)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert parts.ledger.usage().total.calls == 1
    kept = parts.teacher.recall(ask(model="paid"))
    assert kept is not None and kept.completion is not None and orjson.loads(kept.completion.body)["choices"][0]["message"]["content"] == "answer 1"
