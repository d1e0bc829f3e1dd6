"""What the figures of the proxy benchmark must reach, and whether they do."""

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.command_line import rounded
from benchmarks.measurement import CONCURRENCIES, Cell, Results

HITS_TIMES_PEER = 25.0
HIT_CPU_OF_PEER = 1 / 20
HITS_OF_BARE = 0.30
MISSES_TIMES_PEER = 8.0
READY_S = 1.5
IDLE_RSS_MIB = 80.0
GROWTH_MIB = 5.0

ByConcurrency = dict[str, float]


@dataclass(frozen=True)
class Footprint:
    """Our proxy by itself: median seconds from start to ready, MiB when idle, MiB gained over `growth_hits` hits."""

    ready_s: float
    idle_rss_mib: float
    growth_mib: float
    growth_hits: int


def ratios(results: Results) -> dict[str, ByConcurrency]:
    """How our proxy stands to the peer and to the bare application, at each concurrency."""

    def at(kind: str, figure: str, peer: str, peer_kind: str) -> ByConcurrency:
        def value(proxy: str, of: str, concurrency: int) -> float:
            return float(getattr(results[Cell(proxy, of, concurrency)], figure))

        return {str(c): rounded(value("ours", kind, c) / max(value(peer, peer_kind, c), 1e-9)) for c in CONCURRENCIES}

    return {
        "hits_requests_per_s": at("hits", "requests_per_s", "litellm", "hits"),
        "hits_cpu": at("hits", "cpu_ms", "litellm", "hits"),
        "hits_of_bare": at("hits_1000", "requests_per_s", "bare", "ceiling"),
        "misses_requests_per_s": at("misses", "requests_per_s", "litellm", "misses"),
        "misses_cpu": at("misses", "cpu_ms", "litellm", "misses"),
    }


def shortfalls(ratio: dict[str, ByConcurrency], footprint: Footprint) -> list[str]:
    """One line for each claim that does not hold."""
    missed = []
    for name, least in (("hits_requests_per_s", HITS_TIMES_PEER), ("hits_of_bare", HITS_OF_BARE), ("misses_requests_per_s", MISSES_TIMES_PEER)):
        missed += [f"{name} at concurrency {c} is {value:g}, below {least:g}" for c, value in ratio[name].items() if value < least]
    missed += [
        f"hits_cpu at concurrency {c} is {value:g}, above {HIT_CPU_OF_PEER:g}" for c, value in ratio["hits_cpu"].items() if value > HIT_CPU_OF_PEER
    ]
    if footprint.ready_s > READY_S:
        missed.append(f"ready_s is {footprint.ready_s:g}, above {READY_S:g}")
    if footprint.idle_rss_mib >= IDLE_RSS_MIB:
        missed.append(f"idle_rss_mib is {footprint.idle_rss_mib:g}, not below {IDLE_RSS_MIB:g}")
    if footprint.growth_mib >= GROWTH_MIB:
        missed.append(f"growth_mib is {footprint.growth_mib:g}, not below {GROWTH_MIB:g}")
    return missed


def summary(results: Results, footprint: Footprint, peer_version: str) -> dict[str, Any]:
    """The benchmark's last line; `ok` when there is no shortfall."""

    def of(proxy: str) -> dict[str, dict[str, Any]]:
        kinds = dict.fromkeys(cell.kind for cell in results if cell.proxy == proxy)
        return {kind: {str(c): asdict(results[Cell(proxy, kind, c)]) for c in CONCURRENCIES} for kind in kinds}

    ratio = ratios(results)
    missed = shortfalls(ratio, footprint)
    return {
        "name": "teacher_proxy",
        "ours": {**of("ours"), **asdict(footprint)},
        "peer": {"name": "litellm", "version": peer_version, **of("litellm")},
        "bare": of("bare"),
        "ratio": ratio,
        "missed": missed,
        "ok": not missed,
    }
