"""What the figures of the harvest benchmark must reach, and whether they do."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.command_line import rounded

LEAST_OF_IDEAL = 0.95
LEAST_TIMES_PEER = 2.0
LEAST_OF_REACHABLE = 0.9  # of what the upstream lets anybody be faster than the peer, where that is less than twice


@dataclass(frozen=True)
class Harvested:
    """One harvest: rows, seconds from the first request to the last record, CPU seconds of all that harvested, calls upstream."""

    rows: int
    seconds: float
    cpu_s: float
    calls: int


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds, each harvest of `rows`."""

    rows: int
    rows_per_s: float
    cpu_ms_per_row: float
    calls_per_round: float
    rounds: list[float]
    """Rows per second of each round."""


def figures(harvests: Sequence[Harvested]) -> Figures:
    """The figures of harvests of equally many rows."""
    per_s = [harvest.rows / harvest.seconds for harvest in harvests]
    return Figures(
        rows=harvests[0].rows,
        rows_per_s=rounded(median(per_s)),
        cpu_ms_per_row=rounded(median(1000 * harvest.cpu_s / harvest.rows for harvest in harvests)),
        calls_per_round=median(harvest.calls for harvest in harvests),
        rounds=[rounded(value) for value in per_s],
    )


def summary(compared: Figures, long: Figures, peer: Figures | None, peer_version: str | None, ideal_per_s: float) -> dict[str, Any]:
    """The benchmark's last line; `ok` when there is no shortfall.

    `compared` and `peer` are harvests of the same prompts, `long` is ours alone, and `ideal_per_s` is what the upstream allows.
    """
    of_ideal = rounded(long.rows_per_s / ideal_per_s)
    ratio = {"of_ideal": of_ideal}
    missed = [] if of_ideal >= LEAST_OF_IDEAL else [f"of_ideal is {of_ideal:g}, below {LEAST_OF_IDEAL:g}"]
    if peer is not None:
        ratio["rows_per_s"] = rounded(compared.rows_per_s / peer.rows_per_s)
        ratio["cpu_per_row"] = rounded(compared.cpu_ms_per_row / peer.cpu_ms_per_row)
        ratio["reachable"] = rounded(ideal_per_s / peer.rows_per_s)
        least = min(LEAST_TIMES_PEER, LEAST_OF_REACHABLE * ratio["reachable"])
        if ratio["rows_per_s"] < least:
            missed.append(f"rows_per_s is {ratio['rows_per_s']:g} times the peer's, below {least:g}")
    return {
        "name": "harvest",
        "ours": {"compared": asdict(compared), "long": asdict(long), "ideal_rows_per_s": rounded(ideal_per_s)},
        "peer": None if peer is None else {"name": "curator", "version": peer_version, **asdict(peer)},
        "ratio": ratio,
        "missed": missed,
        "ok": not missed,
    }
