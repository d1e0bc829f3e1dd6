"""What the figures of the student benchmark must reach, and whether they do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.command_line import rounded
from benchmarks.measurement import Figures

ADDED_P50_MS = 5.0
KEPT_AT_64 = 0.95
CONCURRENCIES = (1, 16, 64)
PASSED = ("whole", "stream")
"""Kinds of requests that pass through; the student's own routes are beside them for information."""


@dataclass(frozen=True)
class Cell:
    """What is measured: `who` is `ours` or `engine`, `kind` one of PASSED, `answer` or `clarify`."""

    who: str
    kind: str
    concurrency: int


Results = Mapping[Cell, Figures]


def summary(results: Results) -> dict[str, Any]:
    """The benchmark's last line; `ok` when every claim holds."""
    ratio: dict[str, dict[str, dict[str, float]]] = {"kept": {}, "added_p50_ms": {}, "added_p99_ms": {}}
    for kind in PASSED:
        pairs = {str(c): (results[Cell("ours", kind, c)], results[Cell("engine", kind, c)]) for c in CONCURRENCIES}
        ratio["kept"][kind] = {c: rounded(ours.requests_per_s / engine.requests_per_s) for c, (ours, engine) in pairs.items()}
        ratio["added_p50_ms"][kind] = {c: rounded(ours.p50_ms - engine.p50_ms) for c, (ours, engine) in pairs.items()}
        ratio["added_p99_ms"][kind] = {c: rounded(ours.p99_ms - engine.p99_ms) for c, (ours, engine) in pairs.items()}
    missed = _missed(ratio)
    peer = {"name": "the engine alone", **_of("engine", results)}
    return {"name": "student", "ours": _of("ours", results), "peer": peer, "ratio": ratio, "missed": missed, "ok": not missed}


def _missed(ratio: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """One line for each claim that does not hold."""
    missed = [
        f"{kind} at concurrency {c} adds {value:g} ms at p50, above {ADDED_P50_MS:g}"
        for kind, values in ratio["added_p50_ms"].items()
        for c, value in values.items()
        if value > ADDED_P50_MS
    ]
    kept = {kind: values["64"] for kind, values in ratio["kept"].items()}
    return missed + [
        f"{kind} at concurrency 64 keeps {value:g} of the throughput, below {KEPT_AT_64:g}" for kind, value in kept.items() if value < KEPT_AT_64
    ]


def _of(who: str, results: Results) -> dict[str, dict[str, Any]]:
    kinds = dict.fromkeys(cell.kind for cell in results if cell.who == who)
    return {kind: {str(c): asdict(results[Cell(who, kind, c)]) for c in CONCURRENCIES} for kind in kinds}
