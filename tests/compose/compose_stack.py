"""The CPU stack under a project name, ports and volumes of its own, and what the tests do to it."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROJECT = "askback-test"
KEY = "key-of-the-test"
PORTS = {"teacher": 18301, "student": 18302, "retriever": 18303, "trainer": 18304, "evaluator": 18305}
SERVICES = [*PORTS, "redis", "student-engine", "trainer-worker", "evaluator-worker"]

# Small volumes in memory, so that a test can fill them, and a paid teacher that counts what it was paid for.
OVERRIDE = """
services:
  paid:
    image: python:3.11-slim-bookworm
    command: [python, -u, /paid_upstream.py]
    volumes: ["{here}/paid_upstream.py:/paid_upstream.py:ro", "{root}/data:/data:ro"]
    networks: [askback]
    init: true
    stop_grace_period: 1s
  teacher:
    environment: {{TEACHER_API_KEY: paid}}
    volumes: ["{folder}/configs:/app/configs:ro"]
  cli:
    volumes: ["{folder}/configs:/app/configs:ro"]
volumes:
  runs: {{driver_opts: {{type: tmpfs, device: tmpfs, o: "size=64m,mode=0777"}}}}
  jobs: {{driver_opts: {{type: tmpfs, device: tmpfs, o: "size=256m,mode=0777"}}}}
"""
TEACHERS = """
active = "paid"
[[backends]]
name = "paid"
kind = "openai"
model = "big"
base_url = "http://paid:9000/v1"
api_key_env = "TEACHER_API_KEY"
price_per_million_prompt_usd = 1.0
price_per_million_completion_usd = 2.0
"""
RUN = """
name = "cut"
task = "strategyqa"
seed = 13
[data]
path = "data/sample/strategyqa"
train = 8
dev = 8
[harvest]
teacher = "paid"
[tracks]
keep_wrong = true
[recipe]
epochs = 12
batch_size = 2
max_length = 256
[[adapters]]
name = "direct"
track = "direct"
[evaluate]
conditions = ["base.direct", "direct.direct"]
"""


class ComposeStack:
    """One project of Compose; `folder` is for its files outside the containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        configs = folder / "configs"
        configs.mkdir()
        (configs / "teacher.toml").write_text(TEACHERS)
        (configs / "teacher-b.toml").write_text(TEACHERS + "max_concurrency = 3\n")
        (configs / "cut.toml").write_text(RUN)
        for name in ("engine.toml", "recipes.toml"):
            (configs / name).write_text((ROOT / "configs" / name).read_text())
        (folder / "override.yml").write_text(OVERRIDE.format(here=HERE, root=ROOT, folder=folder))
        (folder / "empty.env").write_text("")
        ports = {f"{name.upper()}_PORT": str(port) for name, port in PORTS.items()}
        self.environment = {**os.environ, **ports, "ASKBACK_API_KEY": KEY, "REDIS_PASSWORD": "of-the-test"}
        self.seconds: dict[str, float] = {}

    def command(self, *words: str) -> list[str]:
        files = [ROOT / "docker-compose.yml", ROOT / "compose.cpu.yml", self.folder / "override.yml"]
        named = [part for file in files for part in ("-f", str(file))]
        return ["docker", "compose", "--env-file", str(self.folder / "empty.env"), "-p", PROJECT, *named, "--profile", "cli", *words]

    def run(self, *words: str, timeout_s: float = 600, check: bool = True, **environment: str) -> str:
        """Standard output of a command of Compose; with `check`, a failure shows what it printed."""
        env = {**self.environment, **environment}
        done = subprocess.run(self.command(*words), env=env, capture_output=True, text=True, timeout=timeout_s)
        assert not check or done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def build(self) -> None:
        began = time.monotonic()
        self.run("build", timeout_s=3600)
        self.seconds["build"] = time.monotonic() - began

    def up(self) -> None:
        """Start everything and wait until every container is healthy; nothing of an earlier start is there."""
        began = time.monotonic()
        self.run("up", "-d", "--no-build", "--wait", "--wait-timeout", "600", "paid", *SERVICES)
        self.seconds["up"] = time.monotonic() - began

    def down(self) -> None:
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def save_logs(self) -> None:
        (self.folder / "stack.log").write_text(self.run("logs", "--no-color", "--timestamps", check=False))

    def ids(self) -> dict[str, str]:
        """Container id by service, of all that run."""
        rows = [json.loads(line) for line in self.run("ps", "--format", "json", "--no-trunc").splitlines()]
        return {row["Service"]: row["ID"] for row in rows if row["Name"].endswith("-1")}

    def inspect(self, service: str) -> dict[str, Any]:
        found = subprocess.run(["docker", "inspect", self.ids()[service]], capture_output=True, text=True, check=True)
        return dict(json.loads(found.stdout)[0])

    def kill(self, service: str) -> None:
        """`kill -9` of the container's first process, from outside; Docker starts it again, as after any crash."""
        state = self.inspect(service)["State"]
        os.kill(state["Pid"], signal.SIGKILL)
        wait_until(lambda: self.inspect(service)["State"]["StartedAt"] != state["StartedAt"], 60, f"{service} was not started again")

    def wait_healthy(self, service: str, timeout_s: float = 300) -> None:
        wait_until(lambda: self.inspect(service)["State"].get("Health", {}).get("Status") == "healthy", timeout_s, f"{service} is not healthy")

    def http(self, service: str, key: str = KEY) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=f"http://127.0.0.1:{PORTS[service]}", headers=headers, timeout=120, trust_env=False)

    def loop(self, *words: str) -> "subprocess.Popen[str]":
        """`askback WORDS` in a container of its own, under way."""
        command = self.command("run", "--rm", "-T", "--no-deps", "cli", *words)
        log = (self.folder / f"loop-{time.monotonic_ns()}.log").open("w+")
        return subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True)

    def askback(self, *words: str, timeout_s: float = 900) -> "subprocess.CompletedProcess[str]":
        command = self.command("run", "--rm", "-T", "--no-deps", "cli", *words)
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout_s)

    def read(self, path: str) -> str:
        """A file of the runs; empty when it is not there."""
        return self.run("exec", "-T", "evaluator-worker", "cat", f"/runs/{path}", check=False)

    def lines(self, path: str) -> list[dict[str, Any]]:
        """The whole lines of a JSONL file of the runs."""
        return [json.loads(line) for line in self.read(path).splitlines(keepends=True) if line.endswith("\n")]

    def paid(self) -> dict[str, int]:
        """How often the paid teacher was asked each question."""
        script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9000/paid').read().decode())"
        return dict(json.loads(self.run("exec", "-T", "paid", "python", "-c", script)))


def wait_until(true: Callable[[], bool], timeout_s: float, complaint: str, every_s: float = 0.3) -> None:
    ends = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < ends, f"{complaint} after {timeout_s:g} s"
        time.sleep(every_s)


def docker(*words: str) -> Sequence[str]:
    """Lines of a docker command's output."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.split()


def docker_missing() -> str:
    """Empty where containers can be started, else what is missing."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for command, complaint in ((["docker", "info"], "no Docker engine answers"), (["docker", "compose", "version"], "Docker has no compose plugin")):
        if subprocess.run(command, capture_output=True).returncode:
            return complaint
    return ""
