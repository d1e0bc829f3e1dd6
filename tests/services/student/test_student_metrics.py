"""What /metrics and the log say after requests of every kind."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from door_stage import BASE, FakeVllm, chunks, completion, encoded, running, wait_until

from askback.contracts.client import RetrieverClient, TeacherClient
from askback.contracts.records import Draft
from askback.contracts.student import AskRequest, Resolver
from services.student.__main__ import compose
from services.student.counted_resolvers import CountedResolvers
from services.student.door.token_count import TokenCount

CHAT: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "a private question"}]}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(FakeVllm()) as engine:
        environment = {"ENGINE_URL": engine, "STUDENT_STATE": str(tmp_path / "student.json"), "ADAPTERS_DIR": str(tmp_path / "runs")}
        with running(compose(environment | {"BASE_MODEL": "Smol"})) as url:
            yield url


def samples(url: str) -> dict[str, float]:
    """Values by name and labels, without the prefix."""
    lines = httpx.get(f"{url}/metrics").raise_for_status().text.splitlines()
    return {name.removeprefix("askback_student_"): float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_requests_tokens_and_first_tokens_are_counted(url: str) -> None:
    for change in ({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}, {"max_tokens": 9999}):
        httpx.post(f"{url}/v1/chat/completions", json=CHAT | change)
    httpx.post(f"{url}/v1/answer", json={"question": "Is it?"})
    seen = samples(url)
    assert seen['requests_total{route="/v1/chat/completions",status="200"}'] == 3
    assert seen['requests_total{route="/v1/chat/completions",status="400"}'] == 1
    assert seen['requests_total{route="/v1/answer",status="200"}'] == 1
    assert seen["time_to_first_token_seconds_count"] == 2
    assert seen["tokens_per_second_count"] == 4
    assert seen["completion_tokens_total"] == 6 + 7 + 6 + 1  # a stream's last event without a count looks like a token
    assert (seen["engine_in_flight"], seen["engine_queue"], seen["engine_up"], seen["engine_open"]) == (0, 0, 1, 1)


def test_paths_of_callers_do_not_become_names(url: str) -> None:
    for path in ("/v1/adapters/x", "/v1/adapters/y", "/nowhere", "/wp-admin"):
        httpx.delete(url + path)
    routes = {name.split('"')[1] for name in samples(url) if name.startswith("requests_total")}
    assert routes <= {"/v1/adapters", "other", "/metrics"}


def test_adapters_are_counted(url: str, make_adapter: Callable[..., str]) -> None:
    httpx.post(f"{url}/v1/adapters", json={"name": "a-1", "path": make_adapter("r/a")}).raise_for_status()
    assert samples(url)["adapters"] == 1


async def test_each_ask_counts_its_questions() -> None:
    asked: list[int] = []
    resolvers = CountedResolvers(TeacherClient.at("http://t"), RetrieverClient.at("http://r"), asked.append)
    for questions in (["A?"], ["A?", "B?"]):
        await resolvers.resolve(AskRequest(question="Is it?", resolver=Resolver.NONE), Draft(answer="no", questions=questions))
    assert asked == [1, 2]


def test_tokens_are_counted_in_pieces_of_any_size() -> None:
    assert count(encoded(completion("/v1/chat/completions", CHAT))) == 6
    streamed = [b"data: " + encoded(chunk) + b"\n\n" for chunk in chunks("/v1/chat/completions", CHAT | {"stream_options": {"include_usage": True}})]
    assert count(*streamed) == count(b"".join(streamed)) == 6
    assert count(*streamed[:-1]) == 7
    assert count() == count(b"") == 0


def count(*pieces: bytes) -> int:
    counted = TokenCount()
    for piece in pieces:
        counted.read(piece)
    return counted.tokens


def test_refusals_are_logged_without_prompts_or_keys(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "services.student"):
        headers = {"authorization": "Bearer private-key", "x-request-id": "r-7"}
        httpx.post(f"{url}/v1/chat/completions", json=CHAT | {"max_tokens": 9999}, headers=headers)
        wait_until(lambda: any(hasattr(record, "route") for record in caplog.records), "the line")
    (record,) = [record for record in caplog.records if hasattr(record, "route")]
    assert (record.route, record.status) == ("/v1/chat/completions", 400)
    assert not [record for record in caplog.records if "private" in str(record.__dict__)]
