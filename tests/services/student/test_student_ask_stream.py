"""`POST /v1/ask` with `stream`: one event for each step, in time; errors before and after the first; callers that go away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest
from asgi_caller import Caller, event
from fastapi import FastAPI, Request
from neighbours import Neighbours
from scripted_engine import ScriptedEngine

from askback.contracts.records import Message
from askback.contracts.student import AnswerResponse, AskAnswers, AskError, AskResponse, ClarifyResponse
from services.student import ask_stream
from services.student.adapters import Adapters
from services.student.app import create_app
from services.student.asking import Step
from services.student.engine import Generation, Sampling

ASKED = {"question": "Is it?", "stream": True}


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def app(engine: ScriptedEngine, open_adapters: Callable[[], Adapters], neighbours: Neighbours) -> FastAPI:
    return create_app(engine, open_adapters(), neighbours.resolvers())


async def events(caller: Caller) -> list[tuple[str, Any]]:
    return [event(piece) async for piece in caller.pieces()]


async def test_each_step_is_an_event_and_the_last_is_the_answer_without_stream(app: FastAPI) -> None:
    caller = Caller(app, "/v1/ask", ASKED)
    status, headers = await caller.start()
    assert (status, headers["content-type"].split(";")[0], headers["cache-control"]) == (200, "text/event-stream", "no-cache")
    steps = await events(caller)
    assert [name for name, _ in steps] == ["draft", "answers", "final", "done"]
    kinds = (ClarifyResponse, AskAnswers, AnswerResponse, AskResponse)
    draft, answers, final, done = (kind.model_validate(data) for kind, (_, data) in zip(kinds, steps, strict=True))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://student") as http:
        whole = AskResponse.model_validate((await http.post("/v1/ask", json=ASKED | {"stream": False})).json())
    assert isinstance(done, AskResponse)
    assert untimed(done) == untimed(whole)
    assert isinstance(draft, ClarifyResponse) and draft.draft == done.draft
    assert isinstance(answers, AskAnswers) and (answers.exchanges, answers.answered_by) == (done.exchanges, done.answered_by)
    assert final == done.final


def untimed(answer: AskResponse) -> AskResponse:
    return answer.model_copy(update={"usage": answer.usage.model_copy(update={"latency_s": 0.0})})


async def test_a_step_is_sent_before_the_next_one_is_ready(app: FastAPI, neighbours: Neighbours) -> None:
    neighbours.waiting = asyncio.Event()
    caller = Caller(app, "/v1/ask", ASKED)
    await caller.start()
    pieces = caller.pieces()
    assert event(await anext(pieces))[0] == "draft"
    neighbours.waiting.set()
    assert [event(piece)[0] async for piece in pieces] == ["answers", "final", "done"]


async def test_what_fails_before_the_first_step_has_a_status(app: FastAPI, engine: ScriptedEngine) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://student") as http:
        for body, status, name in (
            (ASKED | {"adapter": "nope"}, 404, "NotFound"),
            (ASKED | {"question": ""}, 422, "InvalidInput"),
            (ASKED | {"resolver": "nobody"}, 422, "InvalidInput"),
        ):
            answer = await http.post("/v1/ask", json=body)
            assert (answer.status_code, answer.json()["error"]) == (status, name)
        engine.questions = "I would rather not"
        assert (await http.post("/v1/ask", json=ASKED)).status_code == 502


async def test_what_fails_later_is_the_last_event(app: FastAPI, neighbours: Neighbours) -> None:
    neighbours.teacher_error = (402, "BudgetExceeded")
    caller = Caller(app, "/v1/ask", ASKED)
    await caller.start()
    (first, _), (last, body) = await events(caller)
    assert (first, last) == ("draft", "error")
    assert AskError.model_validate(body) == AskError(error="BudgetExceeded", detail="BudgetExceeded here")


async def test_a_mistake_of_ours_is_an_event_without_its_inside(
    app: FastAPI, neighbours: Neighbours, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.student.resolvers.pair", lambda *_: 1 / 0)
    caller = Caller(app, "/v1/ask", ASKED)
    await caller.start()
    assert (await events(caller))[-1] == ("error", {"error": "ServiceError", "detail": "the student failed; its log says why"})
    assert "ZeroDivisionError" in caplog.text


async def test_hanging_up_between_steps_cancels_the_step_under_way(app: FastAPI, neighbours: Neighbours, engine: ScriptedEngine) -> None:
    neighbours.waiting = asyncio.Event()
    caller = Caller(app, "/v1/ask", ASKED)
    await caller.start()
    assert event(await anext(caller.pieces()))[0] == "draft"
    calls = len(engine.calls)
    caller.hang_up()
    await asyncio.wait_for(caller.call, 5)
    neighbours.waiting.set()
    await asyncio.sleep(0)
    assert (neighbours.cancelled, len(engine.calls)) == (1, calls)


class SlowEngine(ScriptedEngine):
    """Never comes to an end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.cancelled = asyncio.Event(), 0

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        self.begun.set()
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_hanging_up_before_the_first_step_cancels_it(open_adapters: Callable[[], Adapters], neighbours: Neighbours) -> None:
    engine = SlowEngine()
    caller = Caller(create_app(engine, open_adapters(), neighbours.resolvers()), "/v1/ask", ASKED)
    await engine.begun.wait()
    caller.hang_up()
    await asyncio.wait_for(caller.call, 5)
    await asyncio.sleep(0)
    assert engine.cancelled == 2  # the draft and its questions


async def test_silence_is_filled_with_comments(neighbours: Neighbours) -> None:
    answers = AskAnswers(exchanges=[], answered_by="none", usage={})  # type: ignore[arg-type]

    async def steps() -> AsyncIterator[Step]:
        yield answers
        await asyncio.sleep(0.05)
        yield answers

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await request.body()
        await (await ask_stream.stream(steps(), request, ping_s=0.01))(scope, receive, send)

    caller = Caller(app, "/", {})
    await caller.start()
    first, *silence, last = [piece async for piece in caller.pieces()]
    assert first == last and len(silence) >= 2 and set(silence) == {": ping\n\n"}
