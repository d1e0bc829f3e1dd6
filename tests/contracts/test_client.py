import httpx
import pytest
from fastapi import APIRouter

from askback.contracts import errors
from askback.contracts.client import StudentClient, TeacherClient
from askback.contracts.records import Message
from askback.contracts.student import AdaptersResponse, ClarifyRequest
from askback.contracts.teacher import ChatRequest
from services.serving import create_service


def over(router: APIRouter) -> StudentClient:
    app = create_service("student", router)
    return StudentClient(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://student"))


@pytest.mark.parametrize("error", [errors.InvalidInput, errors.NotFound, errors.Conflict, errors.BudgetExceeded, errors.UpstreamRejected])
async def test_an_error_keeps_its_class_and_text_across_http(error: type[errors.ServiceError]) -> None:
    router = APIRouter()

    @router.get("/v1/adapters")
    async def fail() -> AdaptersResponse:
        raise error("field: this is what is wrong")

    with pytest.raises(error, match="field: this is what is wrong") as raised:
        await over(router).adapters()
    assert type(raised.value) is error


async def test_a_body_that_does_not_fit_the_schema_is_invalid_input_naming_the_field() -> None:
    router = APIRouter()

    @router.post("/v1/clarify")
    async def clarify(request: ClarifyRequest) -> AdaptersResponse:
        raise AssertionError("not reached")

    with pytest.raises(errors.InvalidInput, match="question"):
        await over(router).send("POST", "/v1/clarify", AdaptersResponse(base_model="m", default="base", adapters=[]))


async def test_an_unreachable_service_is_unavailable_and_named() -> None:
    async with StudentClient.at("http://127.0.0.1:9") as client:
        with pytest.raises(errors.UpstreamUnavailable, match=r"student at http://127\.0\.0\.1:9"):
            await client.adapters()
        assert not await client.ready()


async def test_openai_error_shape_is_understood() -> None:
    body = {"error": {"type": "BudgetExceeded", "message": "spent 1.00 of 1.00", "code": 402}}
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(402, json=body)), base_url="http://teacher")
    with pytest.raises(errors.BudgetExceeded, match=r"spent 1\.00"):
        await TeacherClient(http).chat(ChatRequest(messages=[Message(role="user", content="Q")]))


async def test_an_unknown_error_answer_is_judged_by_its_status() -> None:
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500, text="boom")), base_url="http://student")
    with pytest.raises(errors.UpstreamUnavailable, match="500"):
        await StudentClient(http).adapters()


@pytest.mark.parametrize(("fresh", "sent"), [(False, None), (True, "no-cache")])
async def test_a_fresh_answer_is_asked_for_by_cache_control(fresh: bool, sent: str | None) -> None:
    seen: list[httpx.Request] = []
    choice = {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"model": "m", "choices": [choice]})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://teacher")
    reply = await TeacherClient(http).chat(ChatRequest(messages=[Message(role="user", content="Q")]), "r1", fresh=fresh)
    assert (reply.text, seen[0].headers.get("cache-control"), seen[0].headers["x-askback-run"]) == ("yes", sent, "r1")
