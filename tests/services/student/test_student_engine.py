"""The vLLM client against answers of vLLM's shape, and the pattern that keeps questions parsable."""

import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from askback.contracts.errors import NotFound, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Message
from services.student.answering import p_yes, questions_regex
from services.student.engine import Sampling
from services.student.vllm_engine import VllmEngine

ASK = [Message(role="user", content="Is it?")]


class Answer:
    def __init__(self, status: int, content: object) -> None:
        self.status, self.headers = status, []
        self._body = content.encode() if isinstance(content, str) else json.dumps(content).encode()

    async def read(self) -> bytes:
        return self._body


class Link:
    """Gives the same answer, or failure, to everything; `bodies` are what it was sent."""

    url = "http://engine"

    def __init__(self, answer: Answer | Exception) -> None:
        self._answer = answer
        self.bodies: list[Any] = []

    @asynccontextmanager
    async def send(self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()) -> AsyncIterator[Any]:
        if isinstance(self._answer, Exception):
            raise self._answer
        self.bodies.append(json.loads(body))
        yield self._answer


def engine(answer: Answer | Exception) -> VllmEngine:
    return VllmEngine(Link(answer))


async def test_choices_ask_for_structured_output_and_read_the_first_token() -> None:
    top = [{"token": "yes", "logprob": -0.5}, {"token": "no", "logprob": -1.5}]
    choice = {"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": top}]}}
    body = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    link = Link(Answer(200, body))
    got = await VllmEngine(link).generate("m", ASK, Sampling(max_tokens=4, choices=("yes", "no")))
    assert got.first_token == {"yes": -0.5, "no": -1.5}
    assert p_yes(got.first_token) == pytest.approx(0.7310586)
    assert link.bodies[0]["structured_outputs"] == {"choice": ["yes", "no"]}


@pytest.mark.parametrize("seed", [None, 0, 7])
async def test_a_seed_is_sent_where_there_is_one(seed: int | None) -> None:
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    link = Link(Answer(200, body))
    await VllmEngine(link).generate("m", ASK, Sampling(max_tokens=4, temperature=0.7, seed=seed))
    sent = link.bodies[0]
    assert (sent["temperature"], sent.get("seed"), "seed" in sent) == (0.7, seed, seed is not None)


def test_p_yes_without_either_token_is_unknown() -> None:
    assert p_yes({"maybe": -0.1}) is None
    assert p_yes({"no": -0.1}) == 0.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(404, {"error": {"message": "The model `x` does not exist."}}), NotFound),
        (Answer(400, {"error": {"message": "bad"}}), UpstreamRejected),
        (Answer(503, "busy"), UpstreamUnavailable),
        (UpstreamUnavailable("refused"), UpstreamUnavailable),
    ],
)
async def test_errors(answer: Answer | Exception, error: type[Exception]) -> None:
    with pytest.raises(error):
        await engine(answer).generate("x", ASK, Sampling(max_tokens=4))


async def test_loading_a_loaded_and_unloading_an_unknown_adapter_change_nothing() -> None:
    await engine(Answer(400, {"error": {"message": "The lora adapter 'a' has already been loaded."}})).load("a", "/p")
    await engine(Answer(404, {"error": {"message": "The lora adapter 'a' cannot be found."}})).unload("a")
    with pytest.raises(UpstreamRejected, match="rank"):
        await engine(Answer(400, {"error": {"message": "rank too high"}})).load("a", "/p")


@pytest.mark.parametrize("text", ["1. What is the length of the Amazon?", "1. Who was it?\n2. In which year was he born?"])
def test_good_questions_match_the_pattern(text: str) -> None:
    assert re.fullmatch(questions_regex(2), text)


@pytest.mark.parametrize("text", ["No.", "1. A statement.", "1. What?", "1. Who was it?\n2. Who?", "1. " + "What " * 60 + "?"])
def test_what_is_no_question_does_not(text: str) -> None:
    assert not re.fullmatch(questions_regex(2), text)
