"""What every service counts of its requests and adds to its own /metrics."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Response
from starlette.types import Receive, Scope, Send

from askback import __version__
from askback.contracts.errors import NotFound
from services.metered import Metered
from services.prometheus_metrics import HttpMetrics
from services.serving import create_service, face

KEY = {"authorization": "Bearer one"}
Serve = Callable[..., httpx.AsyncClient]


@pytest.fixture
def serve() -> Serve:
    """A client of a small service with some environment."""
    router = APIRouter()

    @router.get("/v1/things/{name}")
    def thing(name: str) -> str:
        if name == "none":
            raise NotFound("thing: no such thing")
        if name == "broken":
            raise RuntimeError("unseen")
        return name

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(b"own_metric 7\n", media_type="text/plain")

    def client(**environment: str) -> httpx.AsyncClient:
        app = face(create_service("small", router), environment)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://small", headers=KEY)

    return client


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    """Values by name and labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line and line[0] != "#")}


async def test_requests_are_counted_by_the_routes_name_and_status(serve: Serve) -> None:
    async with serve() as client:
        for path in ("/v1/things/a", "/v1/things/b", "/v1/things/none", "/v1/things/broken", "/wp-admin", "/nowhere", "/healthz"):
            await client.get(path)
        seen = await samples(client)
    counted = {key.removeprefix("askback_http_requests_total"): value for key, value in seen.items() if key.startswith("askback_http_requests_total")}
    assert counted == {
        '{route="/v1/things/{name}",status="200"}': 2,
        '{route="/v1/things/{name}",status="404"}': 1,
        '{route="/v1/things/{name}",status="500"}': 1,
        '{route="other",status="404"}': 2,
        '{route="/healthz",status="200"}': 1,
    }
    assert seen['askback_http_request_seconds_count{route="/v1/things/{name}"}'] == 4
    assert 0 < seen['askback_http_request_seconds_sum{route="/v1/things/{name}"}'] < 5


async def test_what_the_service_shows_itself_stands_before_what_all_show(serve: Serve) -> None:
    async with serve() as client:
        answer = await client.get("/metrics")
        assert answer.text.startswith("own_metric 7\n")
        assert f'askback_build_info{{version="{__version__}"}} 1.0' in answer.text
        assert re.search(r"^process_resident_memory_bytes [1-9]", answer.text, re.MULTILINE)
        assert (await client.get("/healthz")).json()["version"] == __version__


async def test_refused_requests_are_counted_and_metrics_need_the_key(serve: Serve) -> None:
    async with serve(ASKBACK_API_KEY="one") as client:
        for path in ("/v1/things/a", "/metrics"):
            answer = await client.get(path, headers={"authorization": "Bearer two"})
            assert (answer.status_code, "askback_build_info" in answer.text) == (401, False)
        seen = await samples(client)
    assert seen['askback_http_requests_total{route="other",status="401"}'] == 1
    assert seen['askback_http_requests_total{route="/metrics",status="401"}'] == 1


async def test_room_is_shown_for_folders_that_the_environment_names(serve: Serve, tmp_path: Path) -> None:
    async with serve(RUNS_DIR=str(tmp_path / "not" / "made" / "yet"), JOBS_DIR="", INDEX_DIR="s3://bucket/index") as client:
        seen = await samples(client)
    folders = {key.split('"')[1] for key in seen if key.startswith("askback_volume")}
    assert folders == {"runs"}
    assert 0 < seen['askback_volume_free_bytes{folder="runs"}'] <= seen['askback_volume_size_bytes{folder="runs"}']


async def test_a_caller_who_hangs_up_before_the_answer_is_counted_as_499() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    metrics = HttpMetrics({})
    app = Metered(silent, metrics)
    await app({"type": "http", "path": "/readyz", "headers": []}, None, None)  # type: ignore[arg-type]
    assert b'askback_http_requests_total{route="/readyz",status="499"} 1.0' in metrics.render()
