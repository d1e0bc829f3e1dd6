"""LiteLLM's proxy, the peer: its own environment, its settings and its start."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.command_line import BenchmarkFailed, say
from benchmarks.stage import Process, Stage

VERSION = "1.106.2"
DEFAULT_VENV = Path("~/.cache/askback-benchmarks/litellm")
LIVE_PATH = "/health/liveliness"
# No look for newer prices at start, errors alone in the log, and no keys to check, which spares it work.
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


def add_venv_option(parser: argparse.ArgumentParser) -> None:
    """Add `--peer-venv`."""
    explanation = f"virtual environment of LiteLLM, created with version {VERSION} when missing (default {DEFAULT_VENV})"
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_VENV, metavar="PATH", help=explanation)


def installed_version(venv: Path) -> str:
    """Version of LiteLLM in `venv`, which is created with the pinned one when it is missing; raises BenchmarkFailed when pip fails."""
    python = venv.expanduser() / "bin" / "python"
    if not (python.parent / "litellm").exists():
        say(f"installing litellm[proxy]=={VERSION} into {venv}")
        _output([sys.executable, "-m", "venv", str(python.parents[1])])
        _output([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"litellm[proxy]=={VERSION}"])
    found = _output([str(python), "-c", "from importlib.metadata import version; print(version('litellm'))"])
    if found != VERSION:
        say(f"{venv} holds LiteLLM {found}; the figures of benchmarks/README.md are of {VERSION}")
    return found


def deployment(name: str, base_url: str, **limits: int) -> dict[str, Any]:
    """An entry of LiteLLM's model list, which reaches the upstream at `base_url`."""
    return {"model_name": name, "litellm_params": {"model": "openai/big", "api_base": base_url, "api_key": "none", **limits}}


def start(stage: Stage, venv: Path, port: int, deployments: list[dict[str, Any]], router: dict[str, Any] | None = None) -> Process:
    """Start it with one worker and its local cache; returns when it answers."""
    settings = {"cache": True, "cache_params": {"type": "local"}, "telemetry": False, "set_verbose": False}
    config = {"model_list": deployments, "litellm_settings": settings, "router_settings": router or {}}
    path = stage.folder / "litellm.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")  # YAML takes JSON
    command = [str(venv.expanduser() / "bin" / "litellm"), "--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    process = stage.start("litellm", command, _ENVIRONMENT)
    process.wait_ready(f"http://127.0.0.1:{port}{LIVE_PATH}", 180)
    return process


def _output(command: list[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - the commands are our own
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout.strip()
