"""The teacher as a proxy: requests per second, latency, CPU and memory beside LiteLLM's proxy and a bare ASGI application."""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks import litellm_proxy, wrk
from benchmarks.command_line import BenchmarkFailed, report, rounded, say, tool
from benchmarks.measurement import LARGE_SET, Meter, measure_rounds
from benchmarks.proxies import MODEL, Backend, Proxy, Upstream, start_bare, start_litellm, start_ours, start_upstream
from benchmarks.stage import Stage, open_stage
from benchmarks.verdict import Footprint, summary

_EXAMPLES = """examples:
  %(prog)s                                       the full run, about 8 minutes
  %(prog)s --rounds 1 --seconds 1 --hits 20000   a quick look
  %(prog)s --peer-venv /tmp/litellm              with a LiteLLM that is there already

The last line is JSON. Exit code: 0 when every claim holds, 1 when one does not, 2 without wrk or a second core.
"""
_STARTS = 5
_GROWTH_CONCURRENCY = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, whose medians are reported (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of each measurement (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the order within a round (default 1)")
    parser.add_argument("--hits", type=int, default=1_000_000, help="hits over which the growth of memory is seen (default 1000000)")
    litellm_proxy.add_venv_option(parser)
    options = parser.parse_args()
    for name in ("rounds", "seconds", "hits"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    raise SystemExit(report(lambda: run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The result's last line; raises BenchmarkFailed when the figures would mean nothing."""
    tool("wrk")  # missed now rather than after the first starts
    with open_stage() as stage:
        version = litellm_proxy.installed_version(options.peer_venv)
        upstream = start_upstream(stage)
        meter = Meter(upstream, options.seconds)
        footprint = measure_footprint(stage, upstream, meter, options.hits)
        say(f"starting LiteLLM {version}, the bare application and our proxy")
        running = [_ours(stage, upstream, "rounds"), start_litellm(stage, upstream, options.peer_venv), start_bare(stage)]
        for proxy in running:
            meter.warm(proxy)
        results = measure_rounds(meter, {proxy.name: proxy for proxy in running}, options.rounds, options.seed)
        return summary(results, footprint, version)


def measure_footprint(stage: Stage, upstream: Upstream, meter: Meter, hits: int) -> Footprint:
    """Start our proxy some times over, each with an empty database, and send `hits` hits to the last of them.

    Memory gained counts from when the working set is in the cache and every connection has been served, to the last hit.
    """
    seconds = []
    for number in range(_STARTS):
        begin = time.perf_counter()
        proxy = _ours(stage, upstream, f"start-{number}")
        seconds.append(time.perf_counter() - begin)
        say(f"start {number + 1}/{_STARTS}: ready in {seconds[-1]:.2f} s")
        if number < _STARTS - 1:
            proxy.process.stop()
    time.sleep(1)
    idle_mib = proxy.process.rss_mib()
    say(f"idle: {idle_mib:.1f} MiB; now {hits} hits")
    wrk.exactly(proxy.target, _GROWTH_CONCURRENCY, 0, LARGE_SET, LARGE_SET)
    calls, before_mib = meter.settled_calls(), proxy.process.rss_mib()
    per_second = wrk.exactly(proxy.target, _GROWTH_CONCURRENCY, 0, LARGE_SET, hits)
    grown_mib = proxy.process.rss_mib() - before_mib
    if new_calls := meter.settled_calls() - calls:
        raise BenchmarkFailed(f"the upstream got {new_calls} calls during {hits} hits; expected none")
    say(f"grown by {grown_mib:.2f} MiB from {before_mib:.1f} MiB over {hits} hits at {per_second:.0f}/s")
    proxy.process.stop()
    return Footprint(rounded(median(seconds)), rounded(idle_mib), rounded(grown_mib), hits)


def _ours(stage: Stage, upstream: Upstream, name: str) -> Proxy:
    return start_ours(stage, [Backend(MODEL, f"{upstream.url}/v1")], stage.folder / f"{name}.sqlite")


if __name__ == "__main__":
    main()
