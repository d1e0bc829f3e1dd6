"""What the figures of the retriever's benchmark must reach, and whether they do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.command_line import rounded
from benchmarks.retriever_peers import Figures
from services.retriever.vectors.facts import VectorFacts

FULL_SIZE = 5_233_329
"""Introductory paragraphs in HotpotQA's dump of Wikipedia."""

CLAIMS = {"disk 0.95": (0.95, 40.0), "disk 0.98": (0.98, 15.0)}
"""The least recall at 10, at the least multiple of exact search's queries a second."""
BYTES = 460.0
FULL_RECALL, FULL_P50_MS, READY_S, BUILD_MIN, BUILD_GB, MEMORY_GB = 0.98, 5.0, 10.0, 60.0, 6.0, 3.0


@dataclass(frozen=True)
class Full:
    """What a whole Wikipedia gave."""

    facts: VectorFacts
    build_s: float
    build_gb: float
    ready_s: float
    figures: Figures
    anonymous_gb: float
    mapped_gb: float


def beside_peers(
    found: Mapping[str, Figures], facts: VectorFacts, built_s: Mapping[str, float], built_gb: float, common: Mapping[str, Any]
) -> dict[str, Any]:
    """The last line of a run with peers."""
    ratio = {name: figures.per_cpu_s / found["Flat"].per_cpu_s for name, figures in found.items() if name != "Flat"}
    missed = [f"{name}: recall {found[name].recall:.4f}, below {least:g}" for name, (least, _) in CLAIMS.items() if found[name].recall < least]
    missed += [f"{name}: {ratio[name]:.1f} times Flat, below {times:g}" for name, (_, times) in CLAIMS.items() if ratio[name] < times]
    if facts.bytes_per_vector > BYTES:
        missed.append(f"{facts.bytes_per_vector:.1f} bytes a vector in memory, above {BYTES:g}")
    layouts = ("disk", "small")
    return {
        "name": "retriever",
        **common,
        "ours": {
            **{name: _rounded(figures) for name, figures in found.items() if name.startswith(layouts)},
            "lists": facts.lists,
            "subquantisers": facts.subquantisers,
            "bytes_per_vector": rounded(facts.bytes_per_vector),
            "disk_bytes_per_vector": rounded(facts.disk_bytes_per_vector),
            "build_gb": rounded(built_gb),
        },
        "peer": {name: _rounded(figures) for name, figures in found.items() if not name.startswith(layouts)},
        "build_s": {name: rounded(seconds) for name, seconds in built_s.items()},
        "ratio": {name: rounded(times) for name, times in ratio.items()},
        "missed": missed,
        "ok": not missed,
    }


def at_full_size(full: Full, common: Mapping[str, Any]) -> dict[str, Any]:
    """The last line of a run at full size."""
    bounds = {
        "p50_ms": (full.figures.cpu_p50_ms, FULL_P50_MS),
        "ready_s": (full.ready_s, READY_S),
        "build_min": (full.build_s / 60, BUILD_MIN),
        "build_gb": (full.build_gb, BUILD_GB),
        "anonymous_gb": (full.anonymous_gb, MEMORY_GB),
    }
    missed = [f"{name} is {value:.4g}, above {most:g}" for name, (value, most) in bounds.items() if value > most]
    if full.figures.recall < FULL_RECALL:
        missed.append(f"recall {full.figures.recall:.4f}, below {FULL_RECALL:g}")
    return {
        "name": "retriever_full",
        **common,
        "ours": {
            **_rounded(full.figures),
            **{name: rounded(value) for name, (value, _) in bounds.items()},
            "mapped_gb": rounded(full.mapped_gb),
            "facts": full.facts.model_dump(mode="json", exclude={"files"}),
        },
        "missed": missed,
        "ok": not missed,
    }


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: rounded(value) for name, value in asdict(figures).items()}
