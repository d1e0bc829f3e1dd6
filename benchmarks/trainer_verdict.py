"""What the figures of the trainer's benchmark must reach, and whether they do."""

from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One comparison: a profile, rows of `lengths` tokens, on a card of which `cap_gb` may be used."""

    name: str
    profile: str
    lengths: tuple[int, int]
    cap_gb: float | None
    most_gib: float | None = None
    least_tokens_per_s: float = 0.0
    least_ratio: float = 0.0


SHORT, LONG = (60, 128), (512, 512)
"""StrategyQA's rows, and HotpotQA's."""

CASES = (
    Case("strategyqa-8gb", "strategyqa-8gb", SHORT, 8.0, most_gib=7.5, least_ratio=2.0),
    Case("hotpotqa-16gb", "hotpotqa-16gb", LONG, 16.0, most_gib=15.0, least_ratio=2.0),
    Case("hotpotqa-24gb", "hotpotqa-24gb", LONG, 24.0, most_gib=22.5, least_ratio=2.0),
    Case("h200-short", "h200", SHORT, None, least_tokens_per_s=14_000, least_ratio=17.0),
    Case("h200-long", "h200", LONG, None, least_tokens_per_s=12_000),
)
TWO_CARDS = 1.8


def ratio(ours: Figures, peer: Figures) -> float | None:
    """Our tokens per second over the peer's, None where the peer ran out of memory with one row."""
    return round(ours["tokens_per_s"] / peer["tokens_per_s"], 2) if peer.get("tokens_per_s") else None


def shortfalls(case: Case, ours: Figures, peer: Figures) -> list[str]:
    """One line for each claim that does not hold."""
    missed, times = [], ratio(ours, peer)
    if case.most_gib is not None and ours["peak_gib"] > case.most_gib:
        missed.append(f"{case.name}: peak {ours['peak_gib']} GiB, above {case.most_gib}")
    if ours["tokens_per_s"] < case.least_tokens_per_s:
        missed.append(f"{case.name}: {ours['tokens_per_s']} tokens/s, below {case.least_tokens_per_s:.0f}")
    if times is not None and times < case.least_ratio:
        missed.append(f"{case.name}: {times} times TRL's defaults, below {case.least_ratio}")
    return missed
