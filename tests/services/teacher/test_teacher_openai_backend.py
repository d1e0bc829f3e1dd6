"""The openai backend against a small real HTTP server in place of the upstream."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from askback.contracts.errors import ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.teacher import ChatRequest
from services.teacher.config import OpenAISpec
from services.teacher.openai_backend import OpenAIBackend

Ask = Callable[..., ChatRequest]
KEY = "sk-test-secret"
GOOD = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "big-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}


class Upstream:
    """Answers with the next of `answers`, the last one again and again; keeps what it was sent."""

    def __init__(self, serve_app: Callable[[FastAPI], str], *answers: Response) -> None:
        self.answers, self.bodies, self.keys = list(answers), list[dict[str, Any]](), list[str]()
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def complete(request: Request) -> Response:
            self.bodies.append(await request.json())
            self.keys.append(request.headers["authorization"])
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

        @app.post("/slow/chat/completions")
        async def slow() -> None:
            await asyncio.sleep(0.5)

        self.url = serve_app(app)

    def backend(self, path: str = "/v1", retries: int = 3, **fields: Any) -> OpenAIBackend:
        prices = {"price_per_million_prompt_usd": 0.15, "price_per_million_completion_usd": 0.6}
        spec = OpenAISpec(name="paid", kind="openai", model="big", base_url=self.url + path, api_key_env="A_KEY", **(prices | fields))
        return OpenAIBackend(spec, {"A_KEY": KEY}, max_retries=retries)


def status(code: int, message: str = "no") -> JSONResponse:
    # retry-after-ms keeps the SDK's pauses short
    return JSONResponse({"error": {"message": message, "type": "t", "code": "c"}}, status_code=code, headers={"retry-after-ms": "1"})


def good(**changes: Any) -> JSONResponse:
    return JSONResponse(GOOD | changes)


def choice(content: object, finish_reason: object) -> list[dict[str, object]]:
    return [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}]


async def test_an_answer_with_its_tokens_and_price(serve_app: Callable, ask: Ask) -> None:
    upstream = Upstream(serve_app, good())
    request = ask(model="teacher", temperature=0, structured_outputs={"choice": ["yes"]}, stream=False, metadata={"question_id": "q1"})
    completion = await upstream.backend().complete(request)
    assert (completion.text, completion.model, completion.problem) == ("Yes.", "big-2026", "")
    assert (completion.prompt_tokens, completion.completion_tokens) == (1000, 500)
    assert completion.cost_usd == pytest.approx(1000 * 0.15e-6 + 500 * 0.6e-6)
    assert upstream.keys == [f"Bearer {KEY}"]
    assert upstream.bodies == [
        {
            "model": "big",
            "messages": [{"role": "user", "content": "Q: Is water wet?"}],
            "temperature": 0,
            "structured_outputs": {"choice": ["yes"]},
        }
    ]


async def test_429_is_tried_again(serve_app: Callable, ask: Ask) -> None:
    upstream = Upstream(serve_app, status(429), status(429), good())
    assert (await upstream.backend().complete(ask())).text == "Yes."
    assert len(upstream.bodies) == 3


@pytest.mark.parametrize(
    ("code", "kind", "tries"),
    [
        (400, UpstreamRejected, 1),
        (401, UpstreamRejected, 1),
        (403, UpstreamRejected, 1),
        (404, UpstreamRejected, 1),
        (422, UpstreamRejected, 1),
        (429, UpstreamUnavailable, 4),
        (500, UpstreamUnavailable, 4),
        (503, UpstreamUnavailable, 4),
    ],
)
async def test_statuses_become_our_errors(serve_app: Callable, ask: Ask, code: int, kind: type[ServiceError], tries: int) -> None:
    upstream = Upstream(serve_app, status(code, f"because of {KEY}\nindeed"))
    with pytest.raises(kind, match=rf"backend 'paid': .*{code}.*because of") as caught:
        await upstream.backend().complete(ask())
    assert len(upstream.bodies) == tries
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        (choice("Y", "length"), "truncated"),
        (choice("Y", "content_filter"), "content_filter"),
        (choice(None, "tool_calls"), "tool_calls"),
        (choice(None, "stop"), "no text"),
        (choice(" \n", "stop"), "no text"),
        (choice("Yes.", None), ""),
    ],
)
async def test_an_unusable_answer_says_why_and_still_has_its_price(serve_app: Callable, ask: Ask, choices: list, problem: str) -> None:
    completion = await Upstream(serve_app, good(choices=choices)).backend().complete(ask())
    assert problem in completion.problem and bool(completion.problem) == bool(problem)
    assert completion.cost_usd > 0


@pytest.mark.parametrize(
    "answer",
    [Response("<html>", media_type="text/html"), JSONResponse({"ok": 1}), good(choices=[]), good(choices=choice(3, "stop")), JSONResponse([1])],
)
async def test_what_is_no_completion_is_rejected(serve_app: Callable, ask: Ask, answer: Response) -> None:
    with pytest.raises(UpstreamRejected, match="did not answer with a chat completion"):
        await Upstream(serve_app, answer).backend().complete(ask())


async def test_missing_usage_is_told_of(serve_app: Callable, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        completion = await Upstream(serve_app, good(usage=None)).backend().complete(ask())
    assert (completion.text, completion.cost_usd) == ("Yes.", 0.0)
    assert "without usage" in caplog.text


async def test_a_slow_upstream_is_unavailable(serve_app: Callable, ask: Ask) -> None:
    backend = Upstream(serve_app, good()).backend(path="/slow", retries=0, timeout_s=0.1)
    with pytest.raises(UpstreamUnavailable, match=r"/slow did not answer within 0\.1 s"):
        await backend.complete(ask())


async def test_an_upstream_that_is_not_there_is_unavailable(ask: Ask) -> None:
    spec = OpenAISpec(name="paid", kind="openai", model="big", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(UpstreamUnavailable, match=r"http://127\.0\.0\.1:9/v1 cannot be reached"):
        await OpenAIBackend(spec, {}, max_retries=0).complete(ask())


@pytest.mark.parametrize("environment", [{}, {"A_KEY": ""}, {"A_KEY": " \n"}, {"A_KEY": "two words"}, {"A_KEY": "é"}])
async def test_a_missing_key_names_its_variable(ask: Ask, environment: dict[str, str]) -> None:
    spec = OpenAISpec(name="paid", kind="openai", model="big", api_key_env="A_KEY")
    with pytest.raises(UpstreamUnavailable, match="backend 'paid': environment variable A_KEY holds no key"):
        await OpenAIBackend(spec, environment).complete(ask())
