"""The retriever's benchmark: its vectors, its measure and its verdict."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import retriever_vectors as vectors
from benchmarks.retriever_peers import Figures, flat, measure, searched
from benchmarks.retriever_verdict import Full, at_full_size, beside_peers
from services.retriever.vectors.facts import VectorFacts
from services.retriever.vectors.settings import Layout
from tests.services.retriever.clustered_vectors import clustered

FLAT = Figures(recall=1.0, per_cpu_s=20.0, cpu_p50_ms=50.0, p50_ms=50.0, p99_ms=60.0)
FACTS = VectorFacts(layout=Layout.DISK, count=1_000_000, dimension=384, bytes_per_vector=450.0, disk_bytes_per_vector=1218.0, seed=0, files={})
HELD = {"Flat": FLAT, "disk 0.95": replace(FLAT, recall=0.951, per_cpu_s=810.0), "disk 0.98": replace(FLAT, recall=0.981, per_cpu_s=310.0)}
FULL = Full(FACTS, 3000.0, 5.5, 4.0, replace(FLAT, recall=0.981, cpu_p50_ms=4.5), 2.0, 0.5)


def test_a_run_with_peers_is_ok_when_all_claims_hold() -> None:
    line = beside_peers(HELD, FACTS, {"ours": 60.0}, 2.0, {})
    assert (line["ok"], line["missed"]) == (True, [])
    assert line["ratio"] == {"disk 0.95": 40.5, "disk 0.98": 15.5}


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [("disk 0.95", {"recall": 0.949}, "recall 0.9490, below 0.95"), ("disk 0.98", {"per_cpu_s": 290.0}, "14.5 times Flat")],
)
def test_a_missed_claim_is_named(name: str, change: dict[str, float], said: str) -> None:
    line = beside_peers({**HELD, name: replace(HELD[name], **change)}, FACTS, {}, 2.0, {})
    assert not line["ok"]
    assert said in line["missed"][0]


def test_bytes_count() -> None:
    assert not beside_peers(HELD, FACTS.model_copy(update={"bytes_per_vector": 466.0}), {}, 2.0, {})["ok"]


def test_full_size_has_its_own_claims() -> None:
    assert at_full_size(FULL, {})["ok"]
    for change in ({"build_s": 3700.0}, {"ready_s": 11.0}, {"build_gb": 6.1}, {"figures": replace(FULL.figures, recall=0.97)}):
        assert not at_full_size(replace(FULL, **change), {})["ok"]


def test_drawn_vectors_are_like_those_they_are_modelled_on(tmp_path: Path) -> None:
    real = clustered(3000, dimension=16)
    model, like_real, like_drawn = vectors.fit(real, clustered(50, dimension=16, seed=1), seed=0)
    assert like_drawn.nearest == pytest.approx(like_real.nearest, abs=0.1)
    assert like_drawn.tenth == pytest.approx(like_real.tenth, abs=0.1)
    drawn = [np.load(path) for path in vectors.write(model, 5000, tmp_path, seed=3)]
    assert sum(map(len, drawn)) == 5000
    assert np.allclose(np.linalg.norm(drawn[0].astype(np.float32), axis=1), 1, atol=2e-3)
    questions = model.questions(real[:20], seed=0)
    assert np.vecdot(questions, real[:20]) == pytest.approx(model.asked, abs=1e-3)


def test_exact_search_is_measured_as_exact() -> None:
    rows, queries = clustered(500), clustered(40, seed=1)
    exact = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
    found = measure({"Flat": searched(flat([rows], 32), 10)}, queries, exact, 2, frozenset({"Flat"}), 10)
    assert found["Flat"].recall == 1.0
    assert found["Flat"].p99_ms >= found["Flat"].p50_ms > 0
