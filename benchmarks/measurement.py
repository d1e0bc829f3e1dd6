"""One figure after the other: a proxy under hits or misses at one concurrency, checked against the upstream's count."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, product
from statistics import median

from benchmarks import wrk
from benchmarks.command_line import BenchmarkFailed, rounded, say
from benchmarks.proxies import Proxy, Upstream

CONCURRENCIES = (1, 16, 64)
# LiteLLM's local cache keeps 200 entries. A larger working set would measure its evictions, so both proxies are compared
# on a set that it can hold.
COMMON_SET = 150
LARGE_SET = 1000
_LARGE_FIRST = 0
_FRESH_FIRST = 1_000_000_000
_FRESH_APART = 100_000_000  # more than one run can send, so that no number comes back
_WARMING = 500
_WARMING_CONCURRENCY = 16


@dataclass(frozen=True)
class Cell:
    """What is measured: `kind` is `hits`, `hits_1000` or `misses`."""

    proxy: str
    kind: str
    concurrency: int


@dataclass(frozen=True)
class Figures:
    """Requests per second, latencies in ms and CPU in ms per request."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


Results = Mapping[Cell, Figures]


class Meter:
    """Measures single cells. Numbers of prompts come back within a run of hits alone."""

    def __init__(self, upstream: Upstream, seconds: int) -> None:
        self._upstream = upstream
        self._seconds = seconds
        self._fresh = count(_FRESH_FIRST, _FRESH_APART)

    def measure(self, proxy: Proxy, cell: Cell) -> Figures:
        """Figures of one run; raises BenchmarkFailed when an answer fails or the upstream saw other calls than it should."""
        first, cycle = self._prompts(cell)
        asks_upstream = cell.kind == "misses"
        if not asks_upstream:
            wrk.exactly(proxy.target, _WARMING_CONCURRENCY, first, cycle, cycle)
        calls, cpu_s = self.settled_calls(), proxy.process.cpu_s()
        load = wrk.for_seconds(proxy.target, cell.concurrency, first, cycle, self._seconds)
        if not load.requests:
            raise BenchmarkFailed(f"{cell}: nothing was answered within {self._seconds} s; give it more with --seconds")
        new_calls = self.settled_calls() - calls
        used_s = proxy.process.cpu_s() - cpu_s  # after the upstream is quiet, so that work put off until later counts too
        # wrk hangs up on what is under way when the time is up: as many requests as connections may have gone on unseen.
        least, most = (load.requests, load.requests + cell.concurrency) if asks_upstream else (0, 0)
        if not least <= new_calls <= most:
            expected = f"{least} to {most}" if most else "none"
            raise BenchmarkFailed(f"{cell}: the upstream got {new_calls} calls for {load.requests} requests; expected {expected}")
        # Those under way count as done, for the proxy does their work too. This favours the slower proxy.
        sent = load.requests + cell.concurrency
        return Figures(sent / load.seconds, load.p50_ms, load.p99_ms, used_s * 1e3 / sent)

    def warm(self, proxy: Proxy) -> None:
        """Send some prompts that are measured by nobody: what is loaded with the first request belongs to no figure."""
        wrk.exactly(proxy.target, _WARMING_CONCURRENCY, next(self._fresh), _FRESH_APART, _WARMING)

    def settled_calls(self) -> int:
        """The upstream's count once it has stood still for a moment."""
        seen = self._upstream.calls()
        while True:
            time.sleep(0.2)
            now = self._upstream.calls()
            if now == seen:
                return now
            seen = now

    def _prompts(self, cell: Cell) -> tuple[int, int]:
        """First number and length of the cycle."""
        if cell.kind == "hits_1000":
            return _LARGE_FIRST, LARGE_SET
        # The small set is new each time too: LiteLLM evicts what it stored first, however often that is asked for.
        return next(self._fresh), _FRESH_APART if cell.kind == "misses" else COMMON_SET


def cells() -> Iterator[Cell]:
    """All that one round measures."""
    kinds = {"ours": ("hits", "hits_1000", "misses"), "litellm": ("hits", "misses"), "bare": ("ceiling",)}
    for proxy, concurrency in product(kinds, CONCURRENCIES):
        yield from (Cell(proxy, kind, concurrency) for kind in kinds[proxy])


def measure_rounds(meter: Meter, proxies: Mapping[str, Proxy], rounds: int, seed: int) -> dict[Cell, Figures]:
    """Medians over `rounds`, each in another order drawn from `seed`, so that no proxy always has the warmer machine."""
    draw = random.Random(seed)  # noqa: S311
    seen: dict[Cell, list[Figures]] = {cell: [] for cell in cells()}
    for number in range(rounds):
        order = draw.sample(list(seen), len(seen))
        for place, cell in enumerate(order):
            figures = meter.measure(proxies[cell.proxy], cell)
            seen[cell].append(figures)
            say(
                f"round {number + 1}/{rounds} {place + 1:2}/{len(order)} {cell.proxy:8} {cell.kind:9} concurrency {cell.concurrency:2}: "
                f"{figures.requests_per_s:8.0f}/s p50 {figures.p50_ms:7.2f} ms p99 {figures.p99_ms:7.2f} ms CPU {figures.cpu_ms:6.3f} ms "
                f"({figures.cpu_ms * figures.requests_per_s / 10:3.0f} % of its core)"
            )
    return {cell: medians(figures) for cell, figures in seen.items()}


def medians(figures: list[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(*(rounded(median(getattr(one, name) for one in figures)) for name in Figures.__dataclass_fields__))
