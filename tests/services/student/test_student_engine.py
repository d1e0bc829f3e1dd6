"""The vLLM client against answers of vLLM's shape, and the pattern that keeps questions parsable."""

import re

import httpx
import pytest

from askback.contracts.errors import NotFound, UpstreamRejected, UpstreamUnavailable
from askback.contracts.records import Message
from services.student.answering import p_yes, questions_regex
from services.student.engine import Sampling
from services.student.vllm_engine import VllmEngine

ASK = [Message(role="user", content="Is it?")]


def engine(answer: httpx.Response | Exception, seen: list[httpx.Request] | None = None) -> VllmEngine:
    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return VllmEngine(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://engine"))


async def test_choices_ask_for_structured_output_and_read_the_first_token() -> None:
    top = [{"token": "yes", "logprob": -0.5}, {"token": "no", "logprob": -1.5}]
    choice = {"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": top}]}}
    seen: list[httpx.Request] = []
    body = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    got = await engine(httpx.Response(200, json=body), seen).generate("m", ASK, Sampling(max_tokens=4, choices=("yes", "no")))
    assert got.first_token == {"yes": -0.5, "no": -1.5}
    assert p_yes(got.first_token) == pytest.approx(0.7310586)
    assert b'"structured_outputs":{"choice":["yes","no"]}' in seen[0].content.replace(b" ", b"")


def test_p_yes_without_either_token_is_unknown() -> None:
    assert p_yes({"maybe": -0.1}) is None
    assert p_yes({"no": -0.1}) == 0.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"error": {"message": "The model `x` does not exist."}}), NotFound),
        (httpx.Response(400, json={"error": {"message": "bad"}}), UpstreamRejected),
        (httpx.Response(503, text="busy"), UpstreamUnavailable),
        (httpx.ConnectError("refused"), UpstreamUnavailable),
    ],
)
async def test_errors(answer: httpx.Response | Exception, error: type[Exception]) -> None:
    with pytest.raises(error):
        await engine(answer).generate("x", ASK, Sampling(max_tokens=4))


async def test_loading_a_loaded_and_unloading_an_unknown_adapter_change_nothing() -> None:
    await engine(httpx.Response(400, json={"error": {"message": "The lora adapter 'a' has already been loaded."}})).load("a", "/p")
    await engine(httpx.Response(404, json={"error": {"message": "The lora adapter 'a' cannot be found."}})).unload("a")
    with pytest.raises(UpstreamRejected, match="rank"):
        await engine(httpx.Response(400, json={"error": {"message": "rank too high"}})).load("a", "/p")


@pytest.mark.parametrize("text", ["1. What is the length of the Amazon?", "1. Who was it?\n2. In which year was he born?"])
def test_good_questions_match_the_pattern(text: str) -> None:
    assert re.fullmatch(questions_regex(2), text)


@pytest.mark.parametrize("text", ["No.", "1. A statement.", "1. What?", "1. Who was it?\n2. Who?", "1. " + "What " * 60 + "?"])
def test_what_is_no_question_does_not(text: str) -> None:
    assert not re.fullmatch(questions_regex(2), text)
