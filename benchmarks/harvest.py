"""The harvest: rows per second and CPU per row beside curator, before an upstream with a fixed latency, on one core."""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks import curator_peer
from benchmarks.command_line import BenchmarkFailed, report, say
from benchmarks.harvest_prompts import teacher_prompts
from benchmarks.harvest_verdict import Harvested, figures, summary
from benchmarks.loopback import fetch, free_port
from benchmarks.proxies import MODEL, Backend, Upstream, start_ours
from benchmarks.stage import Process, Stage, open_stage

_EXAMPLES = """examples:
  %(prog)s                                       the full run
  %(prog)s --peer none --rounds 1                ours alone, once
  %(prog)s --prompts 200 --long 400 --rounds 1   a quick look
  %(prog)s --peer-venv /tmp/curator              with a curator that is there already

Ours is the loop's own harvest before the teacher service, both new at each round and on one core: a draft, the teacher's
answer and a rewrite of each row, each record fsynced. The student is a fake which answers at once. Half as many
rows again as calls are under way, so that the next draft is ready when a call ends; the calls are bounded by the teacher.

curator has that core to itself and asks for the same teacher's answers alone, with its limits on requests and tokens a
minute lifted. Its start and the call that it sends when its model is set up are not in its seconds; that call is in its
calls. The last line is JSON. Exit code: 0 when every claim holds, 1 when one does not, 2 without taskset or a second core.
"""
_LONGEST_S = 1800.0
_ROWS_PER_CALL = 1.5


@dataclass(frozen=True)
class Scene:
    """Where each harvest of this run takes place."""

    stage: Stage
    upstream: Upstream
    student: str
    """The fake student's address."""
    concurrency: int
    """Calls to the upstream that may be under way at a time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=("curator", "none"), default="curator", help="whom to compare with (default curator)")
    parser.add_argument("--prompts", type=int, default=1000, help="prompts that both harvest (default 1000)")
    parser.add_argument("--long", type=int, default=2000, help="rows of our harvest that is compared with the ideal (default 2000)")
    parser.add_argument("--latency-ms", type=int, default=500, help="latency of the upstream in milliseconds (default 500)")
    parser.add_argument("--concurrency", type=int, default=64, help="calls under way at a time (default 64)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, whose medians are reported (default 3)")
    curator_peer.add_venv_option(parser)
    options = parser.parse_args()
    for name in ("prompts", "long", "latency_ms", "concurrency", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    raise SystemExit(report(lambda: run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The result's last line; raises BenchmarkFailed when the figures would mean nothing."""
    latency_s = options.latency_ms / 1000
    with open_stage() as stage:
        version = curator_peer.installed_version(options.peer_venv) if options.peer == "curator" else None
        scene = Scene(stage, _start_upstream(stage, latency_s), _start_student(stage), options.concurrency)
        compared, long, peer = [], [], []
        for number in range(options.rounds):
            say(f"round {number + 1}/{options.rounds}")
            compared.append(harvest_ours(scene, f"compared-{number}", options.prompts))
            if version:
                peer.append(harvest_curator(scene, f"curator-{number}", options.prompts, options.peer_venv))
            long.append(harvest_ours(scene, f"long-{number}", options.long))
        most = json.loads(fetch(f"{scene.upstream.url}/calls"))["most_under_way"]
    if most > options.concurrency:
        raise BenchmarkFailed(f"{most} calls were under way at a time; expected at most {options.concurrency}")
    ideal_per_s = options.concurrency / latency_s
    return summary(figures(compared), figures(long), figures(peer) if peer else None, version, ideal_per_s)


def harvest_ours(scene: Scene, name: str, rows: int) -> Harvested:
    """One harvest of `rows` rows with a teacher that is new; raises BenchmarkFailed unless each row is done and paid for once."""
    limit = f"max_concurrency = {scene.concurrency}"
    teacher = start_ours(scene.stage, [Backend(MODEL, f"{scene.upstream.url}/v1", [limit])], scene.stage.folder / f"{name}.sqlite")
    folder, result = scene.stage.folder / name, scene.stage.folder / f"{name}.json"
    calls, cpu_s = scene.upstream.calls(), teacher.process.cpu_s()
    command = [sys.executable, "-m", "benchmarks.harvest_run", "--rows", str(rows), "--concurrency", str(int(_ROWS_PER_CALL * scene.concurrency))]
    command += ["--teacher", teacher.target.url, "--student", scene.student, "--folder", str(folder), "--result", str(result)]
    seen = _finished(scene.stage.start("harvest", command), result)
    cpu_s = teacher.process.cpu_s() - cpu_s
    teacher.process.stop()
    harvested = Harvested(rows, seen["seconds"], seen["cpu_s"] + cpu_s, scene.upstream.calls() - calls)
    if seen["done"] != rows or harvested.calls != rows:
        raise BenchmarkFailed(f"ours: {seen['done']} of {rows} rows done with {harvested.calls} calls; expected one call for each row")
    loop_ms, teacher_ms = 1000 * seen["cpu_s"] / rows, 1000 * cpu_s / rows
    say(f"ours: {rows} rows at {rows / harvested.seconds:.1f}/s; CPU of a row: {loop_ms:.2f} ms and {teacher_ms:.2f} ms in the teacher")
    return harvested


def harvest_curator(scene: Scene, name: str, rows: int, venv: Path) -> Harvested:
    """One harvest of the same prompts with curator and an empty cache; raises BenchmarkFailed unless each row is done."""
    calls, folder = scene.upstream.calls(), scene.stage.folder / name
    process, result = curator_peer.start(scene.stage, venv, f"{scene.upstream.url}/v1", scene.concurrency, teacher_prompts(rows), folder)
    seen = _finished(process, result)
    harvested = Harvested(rows, seen["seconds"], seen["cpu_s"], scene.upstream.calls() - calls)
    if seen["done"] != rows:
        raise BenchmarkFailed(f"curator: {seen['done']} of {rows} rows done with {harvested.calls} calls; expected all")
    say(f"curator: {rows} rows at {rows / harvested.seconds:.1f}/s; CPU of a row: {1000 * harvested.cpu_s / rows:.2f} ms; {harvested.calls} calls")
    return harvested


def _finished(process: Process, result: Path) -> dict[str, Any]:
    """What a harvest wrote at its end."""
    try:
        process.popen.wait(_LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailed(f"{process.name} was not done within {_LONGEST_S:g} s") from error
    if not result.exists():
        process.check()
    figures: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return figures


def _start_upstream(stage: Stage, latency_s: float) -> Upstream:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.slow_upstream", "--port", str(port), "--latency-s", str(latency_s)]
    stage.start("upstream", command, proxy=False).wait_ready(f"http://127.0.0.1:{port}/calls", 30)
    return Upstream(f"http://127.0.0.1:{port}")


def _start_student(stage: Stage) -> str:
    url = f"http://127.0.0.1:{free_port()}"
    process = stage.start("student", [sys.executable, "-m", "benchmarks.fake_student", "--port", url.rpartition(":")[2]], proxy=False)
    process.wait_ready(f"{url}/readyz", 30)
    return url


if __name__ == "__main__":
    main()
