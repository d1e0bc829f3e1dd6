"""The teacher after `kill -9`: is any answer that was delivered paid for again?"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks import litellm_proxy, wrk
from benchmarks.command_line import BenchmarkFailed, report, rounded, say, tool
from benchmarks.loopback import fetch
from benchmarks.proxies import MODEL, Backend, Proxy, Upstream, start_litellm, start_ours, start_upstream
from benchmarks.stage import Stage, open_stage

_EXAMPLES = """examples:
  %(prog)s                                      100,000 prompts
  %(prog)s --prompts 2000 --peer-prompts 200    a quick look
  %(prog)s --peer-venv /tmp/litellm             with a LiteLLM that is there already

Fills the proxy with distinct prompts, kills it at the last answer, starts it again and asks for all of them once more. Each
call that then reaches the upstream is an answer lost. The last line is JSON. Exit code: 0 when none is, 1 when one is, 2
without wrk.
"""
_CONCURRENCY = 64
_COMPARED = 200  # answers that are read and compared with their question, spread over all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100_000, help="distinct prompts for our proxy (default 100000)")
    parser.add_argument("--peer-prompts", type=int, default=1000, help="distinct prompts for LiteLLM; 0 leaves it out (default 1000)")
    litellm_proxy.add_venv_option(parser)
    options = parser.parse_args()
    if options.prompts < 1 or options.peer_prompts < 0:
        parser.error("--prompts must be at least 1 and --peer-prompts at least 0")
    raise SystemExit(report(lambda: run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The result's last line; raises BenchmarkFailed when the figures would mean nothing."""
    tool("wrk")  # missed now rather than after the first starts
    with open_stage() as stage:
        upstream = start_upstream(stage)
        ours = survive(upstream, lambda: _ours(stage, upstream), options.prompts)
        peer = None
        if options.peer_prompts:
            version = litellm_proxy.installed_version(options.peer_venv)
            seen = survive(upstream, lambda: start_litellm(stage, upstream, options.peer_venv), options.peer_prompts)
            peer = {"name": "litellm", "version": version, **seen}
    ok = ours["paid_again"] == 0 and ours["wrong_answers"] == 0
    return {"name": "teacher_durability", "ours": ours, "peer": peer, "ok": ok}


def survive(upstream: Upstream, start: Callable[[], Proxy], prompts: int) -> dict[str, float]:
    """Fill, kill, start again, replay. Raises BenchmarkFailed when the fill did not ask the upstream once for each prompt."""
    proxy = start()
    calls = upstream.calls()
    say(f"{proxy.name}: filling {prompts} prompts")
    fill_per_s = wrk.exactly(proxy.target, _CONCURRENCY, 0, prompts, prompts)
    proxy.process.kill()
    filled = upstream.calls() - calls
    if filled != prompts:
        raise BenchmarkFailed(f"{proxy.name}: the upstream got {filled} calls for {prompts} new prompts; expected one for each")
    say(f"{proxy.name}: filled at {fill_per_s:.0f}/s and killed; starting it again to replay them")
    proxy = start()
    calls = upstream.calls()
    replay_per_s = wrk.exactly(proxy.target, _CONCURRENCY, 0, prompts, prompts)
    paid_again = upstream.calls() - calls
    wrong = sum(not _is_right(proxy, number) for number in range(0, prompts, max(1, prompts // _COMPARED)))
    proxy.process.stop()
    say(f"{proxy.name}: replayed at {replay_per_s:.0f}/s; {paid_again} paid again, {wrong} of a sample wrong")
    return {
        "prompts": prompts,
        "fill_per_s": rounded(fill_per_s),
        "replay_per_s": rounded(replay_per_s),
        "paid_again": paid_again,
        "share_paid_again": rounded(paid_again / prompts),
        "wrong_answers": wrong,
    }


def _is_right(proxy: Proxy, number: int) -> bool:
    """Whether the answer to prompt `number` is the upstream's answer to that prompt."""
    answer = json.loads(fetch(f"{proxy.target.url}/v1/chat/completions", wrk.request_body(proxy.target.model, number)))
    return bool(answer["choices"][0]["message"]["content"] == f"Answer {number:012d}.")


def _ours(stage: Stage, upstream: Upstream) -> Proxy:
    return start_ours(stage, [Backend(MODEL, f"{upstream.url}/v1")], stage.folder / "durable.sqlite")


if __name__ == "__main__":
    main()
