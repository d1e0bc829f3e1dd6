"""`ok` must be false as soon as one claim fails at one concurrency."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.measurement import Cell, Figures, cells
from benchmarks.verdict import Footprint, summary

FOOTPRINT = Footprint(ready_s=1.5, idle_rss_mib=79.9, growth_mib=4.9, growth_hits=10)
PER_S = {("ours", "hits"): 2500, ("ours", "hits_1000"): 3000, ("ours", "misses"): 800, ("litellm", "hits"): 100, ("litellm", "misses"): 100}
CPU_MS = {("ours", "hits"): 0.25}


def barely() -> dict[Cell, Figures]:
    """Figures which meet every claim and none by more than it asks."""
    return {c: Figures(PER_S.get((c.proxy, c.kind), 10_000), 1.0, 2.0, CPU_MS.get((c.proxy, c.kind), 5.0)) for c in cells()}


def test_reaching_every_bound_is_ok() -> None:
    result = summary(barely(), FOOTPRINT, "1.0")
    assert result["missed"] == []
    assert result["ok"] is True
    assert result["ratio"]["hits_requests_per_s"] == {"1": 25.0, "16": 25.0, "64": 25.0}
    assert result["ours"]["hits"]["64"]["requests_per_s"] == 2500


@pytest.mark.parametrize(
    ("cell", "change", "said"),
    [
        (Cell("ours", "hits", 16), {"requests_per_s": 2490}, "hits_requests_per_s at concurrency 16 is 24.9, below 25"),
        (Cell("ours", "hits", 1), {"cpu_ms": 0.26}, "hits_cpu at concurrency 1 is 0.052, above 0.05"),
        (Cell("ours", "hits_1000", 64), {"requests_per_s": 2900}, "hits_of_bare at concurrency 64 is 0.29, below 0.3"),
        (Cell("ours", "misses", 64), {"requests_per_s": 790}, "misses_requests_per_s at concurrency 64 is 7.9, below 8"),
    ],
)
def test_one_cell_below_its_bound_is_named(cell: Cell, change: dict[str, float], said: str) -> None:
    results = barely()
    results[cell] = replace(results[cell], **change)
    result = summary(results, FOOTPRINT, "1.0")
    assert result["missed"] == [said]
    assert result["ok"] is False


@pytest.mark.parametrize("change", [{"ready_s": 1.51}, {"idle_rss_mib": 80.0}, {"growth_mib": 5.0}])
def test_a_large_footprint_is_not_ok(change: dict[str, Any]) -> None:
    (name,) = change
    assert [line.split()[0] for line in summary(barely(), replace(FOOTPRINT, **change), "1.0")["missed"]] == [name]
