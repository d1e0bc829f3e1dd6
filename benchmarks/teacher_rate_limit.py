"""The teacher before an upstream that allows 60 requests a minute, under 32 callers who never stop asking."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks import litellm_proxy
from benchmarks.command_line import report, rounded, say
from benchmarks.fake_upstream import completion
from benchmarks.http_protocol import HttpProtocol, response
from benchmarks.loopback import free_port
from benchmarks.proxies import Backend, start_ours
from benchmarks.rate_limits import Clock, Limiter, SlidingWindow, TokenBucket, announcement
from benchmarks.stage import Process, Stage, open_stage

_EXAMPLES = """examples:
  %(prog)s                              every variant at once, two minutes
  %(prog)s --peer-venv /tmp/litellm     with a LiteLLM that is there already
  %(prog)s --no-peer --seconds 30       a quick look

Each proxy meets a token bucket and two sliding windows, once with the limit in its settings (`configured`) and once with the
x-ratelimit-* headers of the upstream alone (`announced`). The headers' reset is when the limiter is as new, which is what
OpenAI documents; of `sliding_window_next` it is when the oldest call leaves the window. A caller who gets a 429 or 503 waits
as long as Retry-After says, else a second. The last line is JSON. Exit code: 0 when every claim holds, 1 when one does not.
"""
PER_MINUTE = 60
MOST_REFUSED = 0.05
LEAST_THROUGHPUT = 0.95
_LIMITERS: dict[str, Callable[[int, Clock], Limiter]] = {
    "token_bucket": TokenBucket,
    "sliding_window": SlidingWindow,
    "sliding_window_next": partial(SlidingWindow, resets_with_next=True),
}
_MODES = ("configured", "announced")


@dataclass
class Variant:
    """One proxy before one limiter, and what came of it. `name` is the model that callers ask for and the upstream's path."""

    proxy: str
    mode: str
    limit: str
    limiter: Limiter
    admitted: int = 0
    refused: int = 0
    """Calls to the upstream that got 429."""
    succeeded: int = 0
    turned_away: int = 0
    """Callers' requests that the proxy answered with 429 or 503."""
    failed: int = 0

    @property
    def name(self) -> str:
        return f"{self.proxy}-{self.mode}-{self.limit}"

    def answer(self) -> bytes:
        """The upstream's response to one call."""
        ruling = self.limiter.call()
        headers = announcement(PER_MINUTE, ruling)
        if ruling.admitted:
            self.admitted += 1
            return response(200, completion("Yes."), headers)
        self.refused += 1
        error = {"error": {"message": "Rate limit reached for requests", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
        return response(429, json.dumps(error).encode(), headers)

    def figures(self, seconds: float) -> dict[str, float]:
        """Counts, shares of all calls, and successes relative to the limit."""
        asked = self.succeeded + self.turned_away + self.failed
        return {
            "upstream_calls": self.admitted + self.refused,
            "upstream_refused_share": rounded(self.refused / max(1, self.admitted + self.refused)),
            "caller_requests": asked,
            "caller_turned_away_share": rounded(self.turned_away / max(1, asked)),
            "caller_failed_share": rounded(self.failed / max(1, asked)),
            "throughput": rounded(self.succeeded / (PER_MINUTE * seconds / 60)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="how long callers ask (default 120)")
    parser.add_argument("--callers", type=int, default=32, help="callers of each variant (default 32)")
    parser.add_argument("--no-peer", action="store_true", help="leave LiteLLM out")
    litellm_proxy.add_venv_option(parser)
    options = parser.parse_args()
    for name in ("seconds", "callers"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    raise SystemExit(report(lambda: run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The result's last line; raises BenchmarkFailed when a proxy ends before its time."""
    proxies = ("ours",) if options.no_peer else ("ours", "litellm")
    variants = [
        Variant(proxy, mode, name, limiter(PER_MINUTE, time.monotonic)) for proxy in proxies for mode in _MODES for name, limiter in _LIMITERS.items()
    ]
    with open_stage() as stage:
        version = None if options.no_peer else litellm_proxy.installed_version(options.peer_venv)
        port = free_port()
        say("starting the proxies")
        started = _start(stage, variants, f"http://127.0.0.1:{port}", options.peer_venv)
        say(f"{options.callers} callers for each of {len(variants)} variants, {options.seconds} s")
        asyncio.run(_meet(port, variants, {name: url for name, (url, _) in started.items()}, options))
        for _, process in started.values():
            process.check()
    figures = {variant.name: variant.figures(options.seconds) for variant in variants}

    def of(proxy: str) -> dict[str, dict[str, Any]]:
        return {mode: {limit: figures[f"{proxy}-{mode}-{limit}"] for limit in _LIMITERS} for mode in _MODES}

    ours = of("ours")
    missed = [line for mode, limits in ours.items() for limit, seen in limits.items() for line in shortfalls(f"{mode}, {limit}", seen)]
    peer = None if options.no_peer else {"name": "litellm", "version": version, **of("litellm")}
    return {"name": "teacher_rate_limit", "ours": ours, "peer": peer, "missed": missed, "ok": not missed}


def shortfalls(where: str, seen: Mapping[str, float]) -> list[str]:
    """One line for each claim that does not hold."""
    shares = ("upstream_refused_share", "caller_turned_away_share", "caller_failed_share")
    missed = [f"{where}: {share} is {seen[share]:g}, not below {MOST_REFUSED:g}" for share in shares if seen[share] >= MOST_REFUSED]
    if seen["throughput"] < LEAST_THROUGHPUT:
        missed.append(f"{where}: throughput is {seen['throughput']:g}, below {LEAST_THROUGHPUT:g}")
    return missed


async def _meet(port: int, variants: list[Variant], urls: Mapping[str, str], options: argparse.Namespace) -> None:
    """Serve the upstream at `port`, and let all callers of all variants ask at the same time."""
    by_path = {f"/{variant.name}/v1/chat/completions": variant for variant in variants}
    server = await asyncio.get_running_loop().create_server(lambda: HttpProtocol(lambda path, _: by_path[path].answer()), "127.0.0.1", port)
    # A caller may sleep longer than a proxy keeps its connection open, and would then write into a closed one.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with server, httpx.AsyncClient(timeout=600, limits=limits, trust_env=False) as client:
        numbers = count()
        callers = [asyncio.ensure_future(_ask(client, urls[v.proxy], v, numbers)) for v in variants for _ in range(options.callers)]
        failed, _ = await asyncio.wait(callers, timeout=options.seconds, return_when=asyncio.FIRST_EXCEPTION)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
    for caller in failed:
        caller.result()


def _start(stage: Stage, variants: list[Variant], upstream: str, venv: Path) -> dict[str, tuple[str, Process]]:
    """Address and process of each proxy that a variant names."""
    ours = [variant for variant in variants if variant.proxy == "ours"]
    limit = {"configured": [f"requests_per_minute = {PER_MINUTE}"], "announced": []}
    proxy = start_ours(stage, [Backend(v.name, f"{upstream}/{v.name}/v1", limit[v.mode]) for v in ours], stage.folder / "ours.sqlite")
    started = {"ours": (proxy.target.url, proxy.process)}
    peers = [variant for variant in variants if variant.proxy == "litellm"]
    if peers:
        rpm = {"configured": {"rpm": PER_MINUTE}, "announced": {}}
        deployments = [litellm_proxy.deployment(v.name, f"{upstream}/{v.name}/v1", **rpm[v.mode]) for v in peers]
        # Without this check LiteLLM takes rpm for a weight among several deployments and limits nothing.
        port, router = free_port(), {"optional_pre_call_checks": ["enforce_model_rate_limits"]}
        started["litellm"] = f"http://127.0.0.1:{port}", litellm_proxy.start(stage, venv, port, deployments, router)
    return started


async def _ask(client: httpx.AsyncClient, url: str, variant: Variant, numbers: "count[int]") -> None:
    """Ask for one thing after the other, each new to every cache, until cancelled."""
    while True:
        prompt = [{"role": "user", "content": f"Question {next(numbers):012d}: would the item of this number sink in water?"}]
        try:
            answer = await client.post(f"{url}/v1/chat/completions", json={"model": variant.name, "messages": prompt, "max_tokens": 150})
        except httpx.HTTPError:
            variant.failed += 1
            await asyncio.sleep(1)
            continue
        if answer.status_code == 200:
            variant.succeeded += 1
        elif answer.status_code in (429, 503):
            variant.turned_away += 1
            await asyncio.sleep(_wait_s(answer.headers))
        else:
            variant.failed += 1
            await asyncio.sleep(1)


def _wait_s(headers: Mapping[str, str]) -> float:
    asked = headers.get("retry-after", "")
    return float(asked) if asked.isdigit() else 1.0


if __name__ == "__main__":
    main()
