"""Keys, body limits and logs, which all services share."""

import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter

from askback.contracts.errors import InvalidInput, TooLarge, Unauthorized, UpstreamUnavailable
from askback.contracts.records import Message
from askback.contracts.service_client import ServiceClient
from services.guard import guarded
from services.logs import configure_logging, set_request_id
from services.serving import create_service
from services.wire import error_answer


def service(**environment: str) -> httpx.AsyncClient:
    router = APIRouter()

    @router.post("/v1/length")
    async def length(body: list[str]) -> int:
        return len(body)

    @router.get("/v1/models")
    async def models() -> list[str]:
        return []

    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded(create_service("test", router), environment)), base_url="http://test")


async def test_without_keys_everybody_may_ask() -> None:
    assert (await service().post("/v1/length", json=["a"])).json() == 1


async def test_with_keys_only_their_holders_and_probes_may() -> None:
    http = service(ASKBACK_API_KEY="one, two")
    for key in ("one", "two"):
        assert (await http.get("/v1/models", headers={"authorization": f"Bearer {key}"})).status_code == 200
    for headers in ({}, {"authorization": "Bearer three"}, {"authorization": "one"}, {"authorization": "Bearer "}):
        refused = await http.get("/v1/models", headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json()["error"]["type"] == "Unauthorized"  # OpenAI's shape, for its clients
    for path in ("/healthz", "/readyz"):
        assert (await http.get(path)).status_code == 200
    assert (await http.get("/openapi.json")).status_code == 401


async def test_the_client_sends_its_key_and_raises_the_refusal() -> None:
    http = service(ASKBACK_API_KEY="one")
    with pytest.raises(Unauthorized, match="ASKBACK_API_KEY"):
        await ServiceClient(http).send("POST", "/v1/length")
    client = ServiceClient.at("http://test", api_key="one")
    assert client._http.headers["authorization"] == "Bearer one"


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b'["' + b"x" * 2**19 + b'"]'


async def test_a_body_over_the_limit_is_refused_announced_or_not() -> None:
    http = service(ASKBACK_MAX_BODY_MIB="1")
    assert (await http.post("/v1/length", json=["x" * 2**19])).status_code == 200
    announced = await http.post("/v1/length", json=["x" * 2**20])
    assert announced.status_code == 413 and announced.json()["error"] == "TooLarge"
    assert "larger than 1 MiB" in announced.json()["detail"]
    streamed = await http.post("/v1/length", content=chunks(), headers={"content-type": "application/json"})
    assert streamed.status_code == 413 and streamed.json()["error"] == "TooLarge"
    with pytest.raises(TooLarge):
        await ServiceClient(http).send("POST", "/v1/length", Message(role="user", content="x" * 2**20))


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "5000"])
def test_a_bad_limit_is_named(value: str) -> None:
    with pytest.raises(InvalidInput, match="ASKBACK_MAX_BODY_MIB"):
        service(ASKBACK_MAX_BODY_MIB=value)


def test_logs_are_lines_of_json_with_the_requests_id(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logging({"LOG_FORMAT": "json"})
    set_request_id("r7")
    try:
        logging.getLogger("askback.test").warning("it happened")
    finally:
        set_request_id("")
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["level"], line["logger"], line["request_id"]) == ("it happened", "WARNING", "askback.test", "r7")


def test_a_finer_error_of_a_service_is_named_after_its_class_in_the_shared_tree() -> None:
    class BreakerOpen(UpstreamUnavailable):
        pass

    status, headers, body = error_answer(BreakerOpen("down"), "/v1/search")
    assert (status, json.loads(body)["error"]) == (503, "UpstreamUnavailable")
    assert json.loads(error_answer(BreakerOpen("down"), "/v1/models")[2])["error"]["type"] == "UpstreamUnavailable"
    assert headers["retry-after"] == "1"
