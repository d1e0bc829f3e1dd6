"""OpenAI's own client against the real teacher: it must not notice that it speaks with another server."""

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fake_openai import FakeOpenAI, Fault, Good, Refusal
from running_teacher import CALL_USD, RunningTeacher, paid_backend, teacher_toml

TOOL: Any = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}}}
TOOL_CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "wet water"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "search", "arguments": '{"query": "dry water"}'}},
]
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@pytest.fixture(scope="module")
def teacher(server: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTeacher]:
    unpriced = {"name": "unpriced", "kind": "openai", "model": "unpriced", "base_url": server.url}
    config = teacher_toml(paid_backend(server.url, max_tries=1), unpriced, {"name": "gold", "kind": "gold"})
    with RunningTeacher(tmp_path_factory.mktemp("teacher"), config) as running:
        yield running


@pytest.fixture
def client(teacher: RunningTeacher) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{teacher.url}/v1", api_key="none") as one:
        yield one


@pytest.fixture
def asked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Model and messages; another question for each test, since they share a cache."""
    return {"model": "paid", "messages": [{"role": "user", "content": request.node.name}]}


def test_a_plain_answer(upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any]) -> None:
    bought = client.chat.completions.with_raw_response.create(**asked)
    kept = client.chat.completions.with_raw_response.create(**asked)
    assert (bought.headers["x-cache"], kept.headers["x-cache"]) == ("miss", "hit")
    assert (float(bought.headers["x-askback-cost-usd"]), float(kept.headers["x-askback-cost-usd"])) == (CALL_USD, 0.0)
    assert bought.headers["x-askback-request-hash"] == kept.headers["x-askback-request-hash"]
    assert int(kept.headers["age"]) < 60
    completion = bought.parse()
    assert completion == kept.parse()
    assert completion.choices[0].message.content == f"answer 1.0 to {asked['messages'][0]['content']}"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 10)
    assert upstream.calls[0].body["model"] == "paid"


@pytest.mark.parametrize("first_streams", [False, True], ids=["bought plain", "bought streamed"])
@pytest.mark.parametrize("usage", [False, True], ids=["without usage", "with usage"])
def test_a_streamed_answer_live_and_kept(
    upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any], first_streams: bool, usage: bool
) -> None:
    streamed = asked | {"stream": True} | ({"stream_options": {"include_usage": True}} if usage else {})
    text = f"answer 1.0 to {asked['messages'][0]['content']}"
    if not first_streams:
        assert client.chat.completions.create(**asked).choices[0].message.content == text
    for _ in range(2):
        chunks = list(client.chat.completions.create(**streamed))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
        assert len(chunks) > 3
        assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [17] * usage
    assert client.chat.completions.create(**asked).choices[0].message.content == text
    assert len(upstream.calls) == 1


def test_a_stream_arrives_while_it_is_written(upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any]) -> None:
    upstream.plan = lambda call: Good(chunk_gap_s=0.1)
    stream = client.chat.completions.create(**asked, stream=True)
    arrived = [time.monotonic() for _ in stream]
    assert arrived[-1] - arrived[0] > 0.1 * (len(arrived) - 1) / 2


@pytest.mark.parametrize("order", [(False, True), (True, False)], ids=["bought plain", "bought streamed"])
@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ({"content": None, "tool_calls": TOOL_CALLS}, {"tools": [TOOL], "parallel_tool_calls": True}),
        ({}, {"logprobs": True, "top_logprobs": 0}),
        ({}, {"n": 3, "temperature": 0.7}),
        ({"reasoning_content": "let me see"}, {"reasoning_effort": "low"}),
        ({}, {"extra_body": {"guided_choice": ["yes", "no"], "min_p": 0.1}}),
    ],
    ids=["tools", "logprobs", "n", "reasoning", "unknown fields"],
)
def test_everything_passes_through_streamed_or_not(
    upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any], message: dict[str, Any], fields: dict[str, Any], order: tuple[bool, bool]
) -> None:
    upstream.plan = lambda call: Good(message=message)
    first, second = (choices(client, asked | fields, stream) for stream in order)
    assert first == second
    assert len(first) == fields.get("n", 1)
    for name, value in message.items():
        assert first[0].get(name) == value
    for name, value in (fields | fields.get("extra_body", {})).items():
        assert name == "extra_body" or upstream.calls[0].body[name] == value
    assert len(upstream.calls) == 1


def choices(client: openai.OpenAI, request: dict[str, Any], stream: bool) -> list[dict[str, Any]]:
    """Message, logprobs and finish_reason of each choice, without what is empty."""
    if stream:
        with client.chat.completions.stream(**request) as events:
            completion: Any = events.get_final_completion()
    else:
        completion = client.chat.completions.create(**request)
    found = []
    for choice in completion.model_dump()["choices"]:
        message = {name: value for name, value in choice["message"].items() if value and name != "parsed"}
        for call in message.get("tool_calls", ()):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        logprobs = [token["token"] for token in (choice["logprobs"] or {}).get("content") or ()]
        found.append(message | {"logprobs": logprobs, "finish_reason": choice["finish_reason"]})
    return found


@pytest.mark.parametrize(
    ("fields", "kind", "status", "code"),
    [
        ({"model": "nobody"}, openai.NotFoundError, 404, "not_found"),
        ({"model": "gold"}, openai.NotFoundError, 404, "not_found"),
        ({"messages": []}, openai.UnprocessableEntityError, 422, "invalid_input"),
        ({"max_tokens": -1}, openai.UnprocessableEntityError, 422, "invalid_input"),
        ({"model": "unpriced"}, openai.APIStatusError, 402, "budget_exceeded"),
        ({"extra_headers": {"cache-control": "only-if-cached"}}, openai.InternalServerError, 504, "not_cached"),
    ],
    ids=["no such model", "no recording", "no messages", "negative", "no price", "not cached"],
)
@STREAMED
def test_an_error_is_one_of_the_clients_own_and_not_tried_again(
    upstream: FakeOpenAI,
    teacher: RunningTeacher,
    client: openai.OpenAI,
    asked: dict[str, Any],
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    status: int,
    code: str,
    stream: bool,
) -> None:
    refused = teacher.metric("refusals_total")
    with pytest.raises(kind) as raised:
        client.chat.completions.create(**(asked | fields), stream=stream)
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert raised.value.request_id
    assert teacher.metric("refusals_total") == refused + 1
    assert not upstream.calls


@STREAMED
def test_what_the_upstream_rejects_is_not_paid_for_again(upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any], stream: bool) -> None:
    for behaviour in (Refusal(400), Refusal(401), Fault.INVALID_JSON):
        upstream.forget()
        upstream.plan = lambda call, behaviour=behaviour: behaviour  # type: ignore[misc]
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(**asked, stream=stream)
        assert (raised.value.status_code, raised.value.code) == (502, "upstream_rejected")
        assert len(upstream.calls) == 1


def test_the_client_itself_asks_again_when_the_upstream_was_down(upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any]) -> None:
    upstream.plan = lambda call: Refusal(503) if call.number == 1 else Good()
    assert client.chat.completions.create(**asked).choices[0].message.content
    assert len(upstream.calls) == 2


def test_a_stream_that_is_cut_raises(upstream: FakeOpenAI, client: openai.OpenAI, asked: dict[str, Any]) -> None:
    upstream.plan = lambda call: Fault.CUT
    text = ""
    with pytest.raises(openai.APIError, match="broke its stream off"):
        for chunk in client.chat.completions.create(**asked, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == "answer 1.0"
    upstream.forget()
    again = client.chat.completions.with_raw_response.create(**asked)
    assert again.headers["x-cache"] == "miss"


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["teacher", "paid", "unpriced", "gold"]
