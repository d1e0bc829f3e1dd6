"""Each service and worker, started as its manifest says, answers its probes."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from redis import Redis

from services.probe import WORKER_PID, worker_missing
from tests.deploy.manifests import ROOT, environment, needs_kubectl, of_kind, overlay, workloads
from tests.deploy.started import SECRET, settings_of, started, written_elsewhere

pytestmark = needs_kubectl
PORTS = {"teacher": 8001, "student": 8002, "retriever": 8003, "trainer": 8004, "evaluator": 8005}
READY = {"teacher": 200, "student": 503, "retriever": 200, "trainer": 503, "evaluator": 200}  # here are neither engine nor base model


@pytest.mark.parametrize("app", PORTS)
def test_a_service_answers_its_probes(app: str, tmp_path: Path, redis_port: int, second_port: int) -> None:
    container = workloads(overlay("cpu"))[app]["spec"]["containers"][0]
    assert container["ports"] == [{"containerPort": PORTS[app], "name": "http"}]
    probes = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    settings = settings_of(container, tmp_path, redis_port) | {
        "PORT": str(second_port),
        "ASKBACK_HOST": "127.0.0.1",
        "EMBEDDER_LOAD": "first-use",
    }
    with (
        started(container, tmp_path, settings) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{second_port}", timeout=20.0, trust_env=False) as http,
    ):
        wait_until(lambda: answers(http), process, tmp_path / "log")
        assert http.get(probes["livenessProbe"]["path"]).status_code == 200
        assert http.get(probes["startupProbe"]["path"]).status_code == 200
        ready = http.get(probes["readinessProbe"]["path"])
        assert ready.status_code == READY[app], ready.text
        assert http.get("/v1/anything").status_code == 401, "the secret's key is asked for"
        if app == "trainer":
            assert metrics_of_scaling() <= series(http)
    assert not written_elsewhere(container, tmp_path)


@pytest.mark.parametrize("app", ["trainer-worker", "evaluator-worker"])
def test_a_worker_is_ready_and_ends_when_told(app: str, tmp_path: Path, redis_port: int) -> None:
    container = workloads(overlay("cpu"))[app]["spec"]["containers"][0]
    assert f"--pidfile={WORKER_PID}" in container["args"]
    assert container["readinessProbe"]["exec"]["command"][1:] == ["-m", "services.probe", "worker"]
    settings = settings_of(container, tmp_path, redis_port)
    pid_file = Path(f"{tmp_path}{WORKER_PID}")
    with started(container, tmp_path, settings) as process:
        wait_until(lambda: not worker_missing(settings, pid_file), process, tmp_path / "log")
        with Redis.from_url(settings["REDIS_URL"]) as redis:
            wait_until(lambda: bool(redis.keys("*_kombu.binding.*")), process, tmp_path / "log")  # from then on it listens
    assert process.returncode == 0
    assert not pid_file.exists()
    assert not written_elsewhere(container, tmp_path)


def test_the_engine_is_started_for_the_cluster(tmp_path: Path) -> None:
    objects = overlay("gpu")
    container = workloads(objects)["student-engine"]["spec"]["containers"][0]
    settings = environment(objects, container) | {"ENGINE_CONFIG": str(ROOT / "configs/engine.toml"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *container["command"][1:], "--print"], cwd=tmp_path, env=settings, capture_output=True, text=True, check=True
    )
    assert f"--model {settings['BASE_MODEL']} --served-model-name student-base --host 0.0.0.0 --port 8000" in done.stdout
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in done.stdout


def test_the_engines_probes_ask_what_the_student_asks() -> None:
    engine = workloads(overlay("gpu"))["student-engine"]["spec"]["containers"][0]
    (path,) = {engine[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert f'"GET", "{path}"' in (ROOT / "services/student/engine_health.py").read_text(encoding="utf-8")


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-2000:]
        assert time.monotonic() < until, log.read_text(encoding="utf-8", errors="replace")[-2000:]
        time.sleep(0.1)


def metrics_of_scaling() -> set[str]:
    triggers = [trigger for manifest in of_kind(overlay("gpu"), "ScaledObject") for trigger in manifest["spec"]["triggers"]]
    return {trigger["metadata"]["valueLocation"] for trigger in triggers if trigger["type"] == "metrics-api"}


def series(http: httpx.Client) -> set[str]:
    """Names with labels of what the service measures."""
    answer = http.get("/metrics", headers={"authorization": f"Bearer {SECRET}"})
    return {line.rpartition(" ")[0] for line in answer.text.splitlines() if not line.startswith("#")}
