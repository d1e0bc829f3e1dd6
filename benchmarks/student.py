"""The student's service in front of an engine against the engine alone: added milliseconds and share of the throughput kept."""

import argparse
import json
import random
import sys
from collections.abc import Mapping
from itertools import count, product
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks import wrk
from benchmarks.command_line import BenchmarkFailed, report, rounded, say, tool
from benchmarks.fake_engine import BASE
from benchmarks.loopback import free_port
from benchmarks.measurement import Figures, medians
from benchmarks.stage import Process, Stage, open_stage
from benchmarks.student_verdict import CONCURRENCIES, KEPT_AT_64, PASSED, Cell, Results, summary
from benchmarks.wrk import Target

_EXAMPLES = """examples:
  %(prog)s                                          before a fake engine, about 3 minutes
  %(prog)s --rounds 1 --seconds 2                   a quick look
  %(prog)s --token-ms 0                             every answer whole after 20 ms: what one core of ours can pass on
  %(prog)s --engine http://127.0.0.1:8000           before a real engine, in tokens/s, nothing else running there

The fake engine writes 16 tokens, the first after --first-ms and each further one after --token-ms. The last line is JSON. Exit
code: 0 when every claim holds, 1 when one does not, 2 without wrk or a second core.
"""
_OWN = {"answer": "/v1/answer", "clarify": "/v1/clarify"}
_CYCLE = 100_000
_ANSWERS_PER_CALLER = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, whose medians are reported (default 3)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each measurement before a fake engine (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the order within a round (default 1)")
    parser.add_argument("--first-ms", type=float, default=20.0, help="milliseconds to a fake engine's first token (default 20)")
    parser.add_argument("--token-ms", type=float, default=5.0, help="milliseconds to each further token (default 5)")
    parser.add_argument("--engine", default="", help="address of a real engine to measure instead of a fake one")
    parser.add_argument("--model", default=BASE, help=f"model to ask a real engine for (default {BASE})")
    parser.add_argument("--concurrency", type=int, default=256, help="requests at a time before a real engine (default 256)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each answer of a real engine (default 64)")
    options = parser.parse_args()
    for name in ("rounds", "seconds", "concurrency", "tokens"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    raise SystemExit(report(lambda: run_real(options) if options.engine else run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The result's last line before a fake engine; raises BenchmarkFailed when the figures would mean nothing."""
    tool("wrk")  # missed now rather than after the first starts
    with open_stage() as stage:
        port = free_port()
        timing = ["--first-ms", str(options.first_ms), "--token-ms", str(options.token_ms)]
        engine = stage.start("engine", [sys.executable, "-m", "benchmarks.fake_engine", "--port", str(port), *timing], proxy=False)
        engine.wait_ready(f"http://127.0.0.1:{port}/health", 30)
        ours, process = start_student(stage, f"http://127.0.0.1:{port}")
        targets = {"engine": Target(f"http://127.0.0.1:{port}", BASE, "/health"), "ours": Target(ours, BASE, "/healthz")}
        result = summary(measure_rounds(targets, process, options))
        return result | {"first_ms": options.first_ms, "token_ms": options.token_ms}


def start_student(stage: Stage, engine_url: str, model: str = BASE) -> tuple[str, Process]:
    """Start our service before an engine; returns its address when it is ready."""
    port = free_port()
    state = str(stage.folder / "student.json")
    environment = {"ENGINE_URL": engine_url, "SERVED_BASE_MODEL": model, "STUDENT_STATE": state, "PORT": str(port), "LOG_LEVEL": "WARNING"}
    process = stage.start("ours", [sys.executable, "-m", "services.student"], environment)
    process.wait_ready(f"http://127.0.0.1:{port}/readyz", 60)
    return f"http://127.0.0.1:{port}", process


def cells() -> list[Cell]:
    """All that one round measures."""
    passed = [Cell(who, kind, c) for who, kind, c in product(("ours", "engine"), PASSED, CONCURRENCIES)]
    return passed + [Cell("ours", kind, c) for kind, c in product(_OWN, CONCURRENCIES)]


def measure_rounds(targets: Mapping[str, Target], process: Process, options: argparse.Namespace) -> Results:
    """Medians over the rounds, each in another order drawn from the seed, so that nobody always has the warmer machine."""
    draw = random.Random(options.seed)  # noqa: S311
    seen: dict[Cell, list[Figures]] = {cell: [] for cell in cells()}
    for cell in seen:
        wrk.for_seconds(_aimed(targets[cell.who], cell.kind), cell.concurrency, 0, _CYCLE, 1)  # what is loaded first belongs to no figure
    for number in range(options.rounds):
        for cell in draw.sample(list(seen), len(seen)):
            figures = measure(_aimed(targets[cell.who], cell.kind), process, cell, options.seconds)
            seen[cell].append(figures)
            say(
                f"round {number + 1}/{options.rounds} {cell.who:6} {cell.kind:7} concurrency {cell.concurrency:2}: {figures.requests_per_s:7.1f}/s "
                f"p50 {figures.p50_ms:7.2f} ms p99 {figures.p99_ms:7.2f} ms CPU {figures.cpu_ms:6.3f} ms"
            )
    return {cell: medians(many) for cell, many in seen.items()}


def measure(target: Target, process: Process, cell: Cell, seconds: int) -> Figures:
    """One run; raises BenchmarkFailed when nothing is answered or an answer fails."""
    cpu_s = process.cpu_s()
    load = wrk.for_seconds(target, cell.concurrency, 0, _CYCLE, seconds)
    if not load.requests:
        raise BenchmarkFailed(f"{cell}: nothing was answered within {seconds} s; give it more with --seconds")
    used_s = process.cpu_s() - cpu_s
    return Figures(load.requests / load.seconds, load.p50_ms, load.p99_ms, used_s * 1e3 / load.requests)


def _aimed(target: Target, kind: str) -> Target:
    path = _OWN.get(kind, target.path)
    body = {"question": wrk.prompt(0)} if kind in _OWN else wrk.request_body(target.model, 0) | {"stream": kind == "stream"}
    return Target(target.url, target.model, target.idle_path, path, json.dumps(body))


def run_real(options: argparse.Namespace) -> dict[str, Any]:
    """The result's last line before a real engine: tokens/s through our service against the engine's own.

    Every answer has exactly `--tokens` tokens. Prompts are new each time, so that no prefix cache knows them.
    """
    tool("wrk")
    total, fresh = options.concurrency * _ANSWERS_PER_CALLER, count(0, 1_000_000)
    seen: dict[str, list[float]] = {f"{who} {kind}": [] for who, kind in product(("engine", "ours"), PASSED)}
    with open_stage() as stage:
        ours, _ = start_student(stage, options.engine, options.model)
        urls = {"engine": (options.engine.rstrip("/"), "/health"), "ours": (ours, "/healthz")}
        for number in range(options.rounds):
            order = random.Random(options.seed + number).sample(list(seen), len(seen))  # noqa: S311
            for name in order:
                who, kind = name.split()
                exact = {"max_tokens": options.tokens, "ignore_eos": True, "stream": kind == "stream"}
                body = json.dumps(wrk.request_body(options.model, 0) | exact)
                target = Target(urls[who][0], options.model, urls[who][1], request=body)
                per_s = wrk.exactly(target, options.concurrency, next(fresh), total, total)
                seen[name].append(per_s * options.tokens)
                say(f"round {number + 1}/{options.rounds} {name:14} {seen[name][-1]:8.0f} tokens/s")
    tokens = {name: rounded(median(values)) for name, values in seen.items()}
    ratio = {kind: rounded(tokens[f"ours {kind}"] / tokens[f"engine {kind}"]) for kind in PASSED}
    ours_told, peer = ({kind: tokens[f"{who} {kind}"] for kind in PASSED} for who in ("ours", "engine"))
    told = {"name": "student_real_engine", "unit": "tokens/s", "concurrency": options.concurrency, "ours": ours_told, "peer": peer}
    return told | {"ratio": ratio, "ok": all(value >= KEPT_AT_64 for value in ratio.values())}


if __name__ == "__main__":
    main()
