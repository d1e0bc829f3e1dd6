"""Load by wrk: numbered prompts, either for some seconds or an exact number of them."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command_line import BenchmarkFailed

_SCRIPT = Path(__file__).with_name("load.lua")
_LONGEST_S = 1800  # of a run with an exact number of requests, which ends by itself


@dataclass(frozen=True)
class Target:
    """Where requests go. `idle_path` is a cheap route that answers 200."""

    url: str
    model: str
    idle_path: str
    path: str = "/v1/chat/completions"
    request: str = ""
    """The body with prompt 0; empty for that of `request_body`."""


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw: answered requests, and latencies of single ones."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def request_body(model: str, number: int) -> dict[str, Any]:
    """The request with prompt `number`. load.lua gets it with number 0 and puts other numbers in its place."""
    return {"model": model, "messages": [{"role": "user", "content": prompt(number)}], "max_tokens": 150}


def prompt(number: int) -> str:
    """A question of its own for each `number`."""
    return f"Question {number:012d}: would the item of this number sink in water? Answer in one sentence."


def for_seconds(target: Target, concurrency: int, first: int, cycle: int, seconds: int) -> Load:
    """Send prompts `first` .. `first + cycle - 1` over and over for `seconds`; raises BenchmarkFailed on any answer but a success."""
    seen = _run(target, concurrency, first, cycle, 0, seconds)
    return Load(int(seen["requests"]), seen["seconds"], seen["p50_ms"], seen["p99_ms"])


def exactly(target: Target, concurrency: int, first: int, cycle: int, total: int) -> float:
    """Send exactly `total` prompts of that cycle and wait for every answer; returns requests per second.

    Raises BenchmarkFailed on any answer but a success.
    """
    seen = _run(target, concurrency, first, cycle, total, _LONGEST_S)
    if seen["completed"] < total:
        raise BenchmarkFailed(f"{target.url}: {seen['completed']:.0f} of {total} requests were answered within {seen['seconds']:.0f} s")
    return total / seen["took"]


def _run(target: Target, concurrency: int, first: int, cycle: int, total: int, seconds: int) -> dict[str, float]:
    options = ["--threads", "1", "--connections", str(concurrency), "--duration", f"{seconds}s", "--timeout", "30s", "--script", str(_SCRIPT)]
    body = target.request or json.dumps(request_body(target.model, 0))
    arguments = [body, str(first), str(cycle), str(total), target.idle_path, target.path]
    done = subprocess.run(["wrk", *options, target.url, "--", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise BenchmarkFailed(f"wrk against {target.url} failed: {(done.stderr or done.stdout).strip()[-300:] or 'no output'}")
    seen: dict[str, float] = json.loads(lines[-1])
    if seen["refused"] or seen["broken"]:
        raise BenchmarkFailed(f"{target.url}: {seen['refused']:.0f} requests were refused and {seen['broken']:.0f} broke; all must succeed")
    return seen
