"""A real Prometheus with the project's configuration reads the five services, and answers the dashboard's queries from what it read."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from shown_metrics import KEY, ROOT, services_under
from starlette.types import ASGIApp

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: prometheus)")
FOLDER = ROOT / "deploy" / "prometheus"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The address of `app`, without its lifespan."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield "{}:{}".format(*server.servers[0].sockets[0].getsockname())
    server.should_exit = True
    await task


def configured(folder: Path, targets: dict[str, str], key: str) -> None:
    """Write the project's configuration with other targets, the key's file and shorter times into `folder`."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        job["authorization"] = {"credentials_file": str(folder / "key")}
    (folder / "key").write_text(key)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(FOLDER / "alerts.yml", folder)


@contextmanager
def prometheus(folder: Path) -> Any:
    """The address of a Prometheus with the configuration in `folder`."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


async def until(client: httpx.AsyncClient, expression: str, holds: Callable[[list[Any]], bool]) -> list[Any]:
    """What Prometheus answers once that `holds`."""
    end = time.monotonic() + 30
    result: list[Any] = []
    while time.monotonic() < end:
        try:
            result = (await client.get("/api/v1/query", params={"query": expression})).raise_for_status().json()["data"]["result"]
            if holds(result):
                return result
        except httpx.HTTPError:  # it has not started, or still replays its log
            pass
        await asyncio.sleep(0.2)
    pytest.fail(f"{expression}: {result}")


async def test_prometheus_reads_all_services_with_the_key_and_answers_the_dashboard(tmp_path: Path) -> None:
    async with services_under(tmp_path) as apps, AsyncExitStack() as stack:
        targets = {name: await stack.enter_async_context(served(app)) for name, app in apps.items()}
        for address in targets.values():
            assert (await asyncio.to_thread(httpx.get, f"http://{address}/nowhere")).status_code == 401
        configured(tmp_path, targets, KEY)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=stack.enter_context(prometheus(tmp_path))))
        await until(client, "up == 1", lambda found: {one["metric"]["job"] for one in found} == targets.keys())
        await asyncio.sleep(1.2)  # rates need two scrapes
        empty = set()
        for panel in json.loads((ROOT / "deploy/grafana/dashboards/askback.json").read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                answer = await client.get("/api/v1/query", params={"query": target["expr"].replace("$__rate_interval", "10s")})
                assert answer.status_code == 200, (panel["title"], answer.text)
                if not answer.json()["data"]["result"]:
                    empty.add(target["expr"])
        assert {expr for expr in empty if "vllm:" not in expr} == set()


async def test_another_key_leaves_a_service_down_for_prometheus(tmp_path: Path) -> None:
    async with services_under(tmp_path) as apps, AsyncExitStack() as stack:
        configured(tmp_path, {"retriever": await stack.enter_async_context(served(apps["retriever"]))}, "another")
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=stack.enter_context(prometheus(tmp_path))))
        (found,) = await until(client, "up", lambda found: bool(found) and found[0]["value"][1] == "0")
        targets = (await client.get("/api/v1/targets")).json()["data"]["activeTargets"]
    assert found["metric"]["job"] == "retriever" and "401" in targets[0]["lastError"]
