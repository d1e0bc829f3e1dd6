"""Through the door the official client gets the bytes that the engine itself would have given it."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from door_stage import BASE, FakeVllm, running

from services.student.__main__ import compose

ASKED: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "Is it \u2603? 12345678901234567890"}]}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "logprobs": {"logprobs": True, "top_logprobs": 5},
    "structured": {"extra_body": {"structured_outputs": {"choice": ["yes", "no"]}, "min_p": 0.1}},
    "usage": {"stream_options": {"include_usage": True}},
}


@pytest.fixture
def vllm() -> FakeVllm:
    return FakeVllm()


@pytest.fixture
def engine_url(vllm: FakeVllm) -> Iterator[str]:
    with running(vllm) as url:
        yield url


@pytest.fixture
def student_url(engine_url: str, tmp_path: Path) -> Iterator[str]:
    environment = {"ENGINE_URL": engine_url, "STUDENT_STATE": str(tmp_path / "student.json"), "ADAPTERS_DIR": str(tmp_path / "runs")}
    with running(compose(environment | {"BASE_MODEL": "Smol"})) as url:
        yield url


@pytest.fixture
def both(engine_url: str, student_url: str) -> Iterator[list[openai.OpenAI]]:
    """The engine's client, ours."""
    clients = [openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0) for url in (engine_url, student_url)]
    yield clients
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("kind", "stream"), [(kind, stream) for kind in KINDS for stream in (False, True) if stream or kind != "usage"], ids=lambda value: str(value)
)
def test_chats_are_the_same_bytes(both: list[openai.OpenAI], vllm: FakeVllm, kind: str, stream: bool) -> None:
    if kind == "usage" and not stream:
        pytest.skip("usage is an option of streams")
    got = []
    for client in both:
        with client.chat.completions.with_streaming_response.create(**ASKED, **KINDS[kind], stream=stream) as answer:
            got.append((answer.status_code, answer.headers["content-type"], answer.headers.get("x-engine"), b"".join(answer.iter_bytes())))
    assert got[0] == got[1]
    assert len(got[0][3]) > 100
    assert vllm.calls[0] == vllm.calls[1]
    parsed = [list(client.chat.completions.create(**ASKED, **KINDS[kind], stream=True)) for client in both]
    assert parsed[0] == parsed[1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_completions_are_the_same_bytes(both: list[openai.OpenAI], stream: bool) -> None:
    got = [client.completions.with_raw_response.create(model=BASE, prompt="Is it?", stream=stream).http_response.read() for client in both]
    assert got[0] == got[1] and b"text_completion" in got[0]


@pytest.mark.parametrize("change", [{"model": "nobody"}, {"max_tokens": 10_000}], ids=["unknown", "refused"])
def test_errors_are_the_engines_own(both: list[openai.OpenAI], change: dict[str, Any]) -> None:
    seen = []
    for client in both:
        with pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(**(ASKED | change))
        seen.append((type(raised.value), raised.value.status_code, raised.value.response.content))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b'{"model": 5}', b'{"model":"student-base","messages":[],"x":123456789012345678901234567890, "n":1.0}']
)
def test_what_is_no_request_goes_to_the_engine_unread(engine_url: str, student_url: str, vllm: FakeVllm, body: bytes) -> None:
    answers = [httpx.post(f"{url}/v1/chat/completions", content=body) for url in (engine_url, student_url)]
    assert (answers[0].status_code, answers[0].content) == (answers[1].status_code, answers[1].content)


def test_a_stream_is_passed_on_as_it_is_written(both: list[openai.OpenAI], vllm: FakeVllm) -> None:
    vllm.gap_s = 0.05
    arrived = []
    for _ in both[1].chat.completions.create(**ASKED, stream=True):
        arrived.append(time.monotonic())
    gaps = [after - before for before, after in pairwise(arrived)]
    assert len(gaps) >= 6 and sorted(gaps)[len(gaps) // 2] > 0.03


def test_neither_the_key_nor_our_own_headers_reach_the_engine(both: list[openai.OpenAI], vllm: FakeVllm) -> None:
    headers = {"traceparent": "00-1-2-01", "x-askback-deadline-s": "20"}
    answer = both[1].chat.completions.with_raw_response.create(**ASKED, extra_headers=headers)
    assert vllm.headers[0][b"traceparent"] == b"00-1-2-01"
    assert not vllm.headers[0].keys() & {b"authorization", b"x-askback-deadline-s"}
    assert answer.headers["x-request-id"]
    assert "transfer-encoding" not in answer.headers and len(answer.headers.get_list("date")) == 1


@pytest.mark.parametrize("named", [{"model": "student"}, {"model": ""}, {}], ids=["student", "empty", "none"])
def test_student_is_the_promoted_adapter(student_url: str, vllm: FakeVllm, make_adapter: Callable[..., str], named: dict[str, str]) -> None:
    ask = {"messages": ASKED["messages"], "note": "\u2603"} | named
    assert httpx.post(f"{student_url}/v1/chat/completions", json=ask).json()["model"] == BASE
    promote(student_url, make_adapter)
    assert httpx.post(f"{student_url}/v1/chat/completions", json=ask).json()["model"] == "a-1"
    assert vllm.calls[-1] == ask | {"model": "a-1"}
    assert httpx.post(f"{student_url}/v1/chat/completions", json=ask | {"model": "base"}).json()["model"] == BASE


def promote(student_url: str, make_adapter: Callable[..., str]) -> None:
    httpx.post(f"{student_url}/v1/adapters", json={"name": "a-1", "path": make_adapter("r/a")}).raise_for_status()
    httpx.put(f"{student_url}/v1/adapters/default", json={"name": "a-1"}).raise_for_status()


@pytest.mark.parametrize("model", ["student", "a-1"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_restarted_engine_is_given_its_adapter_once(
    student_url: str, vllm: FakeVllm, make_adapter: Callable[..., str], model: str, stream: bool
) -> None:
    promote(student_url, make_adapter)
    del vllm.served["a-1"]
    answer = httpx.post(f"{student_url}/v1/chat/completions", json=ASKED | {"model": model, "stream": stream})
    assert answer.status_code == 200 and b'"model":"a-1"' in answer.content
    assert vllm.loads == ["a-1", "a-1"]


def test_models_are_the_engines_and_student(student_url: str, both: list[openai.OpenAI], vllm: FakeVllm, make_adapter: Callable[..., str]) -> None:
    def cards() -> dict[str, dict[str, Any]]:
        return {model.id: model.model_dump() for model in both[1].models.list()}

    assert cards().keys() == {BASE, "student"}
    assert (cards()["student"]["root"], cards()["student"]["parent"]) == ("/models/Smol", None)
    promote(student_url, make_adapter)
    assert list(cards()) == [*[model.id for model in both[0].models.list()], "student"]
    assert (cards()["student"]["root"], cards()["student"]["parent"]) == (cards()["a-1"]["root"], BASE)
    del vllm.served["a-1"]
    assert cards()["student"]["parent"] == BASE


def test_another_verb_is_refused_in_openais_shape(student_url: str) -> None:
    answer = httpx.get(f"{student_url}/v1/chat/completions")
    assert answer.status_code == 405 and "POST alone" in answer.json()["error"]["message"]
