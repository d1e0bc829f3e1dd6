"""The proxies under test and the upstream behind them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import litellm_proxy
from benchmarks.loopback import fetch, free_port
from benchmarks.stage import Process, Stage
from benchmarks.wrk import Target

MODEL = "paid"
READY_PATH = "/readyz"


@dataclass(frozen=True)
class Upstream:
    """The fake upstream's process."""

    url: str

    def calls(self) -> int:
        """Chat completions that it has answered."""
        count: int = json.loads(fetch(f"{self.url}/calls"))["calls"]
        return count


@dataclass(frozen=True)
class Proxy:
    """A proxy that is ready."""

    name: str
    process: Process
    target: Target


def start_upstream(stage: Stage) -> Upstream:
    """Start the fake upstream on the core of the load."""
    port = free_port()
    process = stage.start("upstream", [sys.executable, "-m", "benchmarks.fake_upstream", "--port", str(port)], proxy=False)
    process.wait_ready(f"http://127.0.0.1:{port}/calls", 30)
    return Upstream(f"http://127.0.0.1:{port}")


@dataclass(frozen=True)
class Backend:
    """A backend of kind openai in our backends file."""

    name: str
    base_url: str
    fields: Sequence[str] = field(default_factory=lambda: ["max_concurrency = 256"])
    """Further lines of its table."""

    def table(self) -> str:
        prices = ["price_per_million_prompt_usd = 1.0", "price_per_million_completion_usd = 2.0"]
        return "\n".join(
            ["[[backends]]", f'name = "{self.name}"', 'kind = "openai"', 'model = "big"', f'base_url = "{self.base_url}"', *prices, *self.fields, ""]
        )


def start_ours(stage: Stage, backends: Sequence[Backend], database: Path) -> Proxy:
    """Start our teacher over `database`, which is created when it is missing; returns when it is ready."""
    port = free_port()
    config = stage.folder / f"teacher-{port}.toml"
    config.write_text("\n".join([f'active = "{backends[0].name}"\n', *(backend.table() for backend in backends)]), encoding="utf-8")
    environment = {"TEACHER_CONFIG": str(config), "TEACHER_DATABASE": str(database), "PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = stage.start("ours", [sys.executable, "-m", "services.teacher"], environment)
    url = f"http://127.0.0.1:{port}"
    process.wait_ready(url + READY_PATH, 60)
    return Proxy("ours", process, Target(url, backends[0].name, READY_PATH))


def start_litellm(stage: Stage, upstream: Upstream, venv: Path) -> Proxy:
    """Start LiteLLM's proxy before `upstream`."""
    port = free_port()
    process = litellm_proxy.start(stage, venv, port, [litellm_proxy.deployment(MODEL, f"{upstream.url}/v1")])
    return Proxy("litellm", process, Target(f"http://127.0.0.1:{port}", MODEL, litellm_proxy.LIVE_PATH))


def start_bare(stage: Stage) -> Proxy:
    """Start the bare application, which asks no upstream."""
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    process = stage.start("bare", [sys.executable, "-m", "uvicorn", "benchmarks.bare_app:app", *options])
    url = f"http://127.0.0.1:{port}"
    process.wait_ready(f"{url}/", 30)
    return Proxy("bare", process, Target(url, MODEL, "/"))
