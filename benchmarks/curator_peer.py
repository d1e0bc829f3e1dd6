"""curator, the peer of the harvest: its own environment and its start."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import BenchmarkFailed, say
from benchmarks.stage import ROOT, Process, Stage

VERSION = "0.1.31"
DEFAULT_VENV = Path("~/.cache/askback-benchmarks/curator")
_PACKAGE = "bespokelabs-curator"


def add_venv_option(parser: argparse.ArgumentParser) -> None:
    """Add `--peer-venv`."""
    explanation = f"virtual environment of curator, created with version {VERSION} when missing (default {DEFAULT_VENV})"
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_VENV, metavar="PATH", help=explanation)


def installed_version(venv: Path) -> str:
    """Version of curator in `venv`, which is created with the pinned one when it is missing; raises BenchmarkFailed when pip fails."""
    python = _python(venv)
    question = [python, "-c", f"from importlib.metadata import version; print(version('{_PACKAGE}'))"]
    if not Path(python).exists() or _run(question).returncode:
        say(f"installing {_PACKAGE}=={VERSION} into {venv}")
        _output([sys.executable, "-m", "venv", str(Path(python).parents[1])])
        _output([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{_PACKAGE}=={VERSION}"])
    found = _output(question)
    if found != VERSION:
        say(f"{venv} holds curator {found}; the figures of benchmarks/README.md are of {VERSION}")
    return found


def start(stage: Stage, venv: Path, base_url: str, concurrency: int, prompts: Sequence[str], folder: Path) -> tuple[Process, Path]:
    """Start curator over `prompts`, with `folder`, which is created, for all that it writes; returns it and where its figures will be."""
    folder.mkdir()
    job, result = folder / "job.json", folder / "result.json"
    job.write_text(json.dumps({"base_url": base_url, "concurrency": concurrency, "prompts": list(prompts)}), encoding="utf-8")
    script = str(ROOT / "benchmarks" / "curator_run.py")
    paths = ["--job", str(job), "--folder", str(folder / "work"), "--result", str(result)]
    # -P keeps this folder's modules from standing in for curator's own imports.
    return stage.start("curator", [_python(venv), "-P", script, *paths], _environment(folder)), result


def _environment(folder: Path) -> dict[str, str]:
    """No telemetry, no hosted viewer, no live display, no look for newer prices; what it keeps goes with `folder`."""
    return {
        "OPENAI_API_KEY": "none",
        "TELEMETRY_ENABLED": "false",
        "CURATOR_VIEWER": "false",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "huggingface"),
        "CURATOR_CACHE_DIR": str(folder / "cache"),
        "HOME": str(folder),
    }


def _python(venv: Path) -> str:
    return str(venv.expanduser().absolute() / "bin" / "python")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - the commands are our own


def _output(command: list[str]) -> str:
    done = _run(command)
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout.strip()
