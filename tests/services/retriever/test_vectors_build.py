"""The build of an approximate index: what it reaches, what a kill leaves, and what is refused."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from askback.contracts.errors import Conflict, InvalidInput
from services.retriever.vectors.building import build
from services.retriever.vectors.choice import choose_plan
from services.retriever.vectors.facts import VectorFacts
from services.retriever.vectors.reading import read
from services.retriever.vectors.settings import Layout, VectorSettings
from tests.services.retriever.clustered_vectors import Vectors, clustered, write_shards

COUNT = 12_000
APPROXIMATE = ((Layout.MEMORY, 8), (Layout.DISK, 8), (Layout.DISK, 4), (Layout.SMALL, 8))

KILLED = """
import os, signal, sys
from pathlib import Path
from services.retriever.vectors.building import build
from services.retriever.vectors.settings import VectorSettings
left = int(sys.argv[3])
def progress(stage, done, total):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
build([Path(path) for path in sys.argv[4:]], Path(sys.argv[1]), VectorSettings.model_validate_json(sys.argv[2]), progress)
"""


def settings(layout: Layout, bits: Literal[0, 4, 8] = 0) -> VectorSettings:
    return VectorSettings(layout=layout, bits=bits, recall=0.95, held_out=50, block=1000, lists=64, build_threads=1)


def silent(stage: str, done: int, total: int) -> None: ...


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clustered(COUNT)


@pytest.fixture(scope="module")
def shards(vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_shards(tmp_path_factory.mktemp("shards"), vectors)


@pytest.fixture(scope="module")
def built(shards: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VectorFacts]:
    folder = tmp_path_factory.mktemp("built") / "disk"
    return folder, build(shards, folder, settings(Layout.DISK), silent)


def recall_at_10(found: list[list[tuple[int, float]]], queries: Vectors, vectors: Vectors) -> float:
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    return float(np.mean([len({p for p, _ in row} & set(best.tolist())) / 10 for row, best in zip(found, exact, strict=True)]))


@pytest.mark.parametrize(("layout", "bits"), APPROXIMATE)
def test_recall_is_what_the_facts_say(layout: Layout, bits: Literal[4, 8], shards: list[Path], vectors: Vectors, tmp_path: Path) -> None:
    facts = build(shards, tmp_path / "out", settings(layout, bits), silent)
    assert facts.tuned is not None
    index = read(tmp_path / "out", facts)
    queries = clustered(COUNT + 100)[COUNT:]
    found = index.search(queries, 10)
    assert (index.count, index.dimension) == (COUNT, 32)
    assert facts.tuned.recall_chosen >= 0.95
    assert facts.tuned.recall_verified >= 0.92
    assert recall_at_10(found, queries, vectors) >= 0.9
    cosines = [score for row in found for _, score in row]
    expected = [float(query @ vectors[position]) for query, row in zip(queries, found, strict=True) for position, _ in row]
    assert np.allclose(cosines, expected, atol=0.01)
    assert all(row == sorted(row, key=lambda hit: -hit[1]) for row in found)


def test_a_small_corpus_is_searched_exactly(shards: list[Path], vectors: Vectors, tmp_path: Path) -> None:
    facts = build(shards, tmp_path / "out", VectorSettings(), silent)
    assert (facts.layout, facts.tuned) == (Layout.EXACT, None)
    assert recall_at_10(read(tmp_path / "out", facts).search(vectors[:50], 10), vectors[:50], vectors) >= 0.99


@pytest.mark.parametrize("calls", [0, 5, 11, 17, 30])
def test_a_killed_build_ends_as_an_unkilled_one(calls: int, shards: list[Path], built: tuple[Path, VectorFacts], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(out), settings(Layout.DISK).model_dump_json(), str(calls), *map(str, shards)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    facts = build(shards, out, settings(Layout.DISK), silent)
    assert facts.files == built[1].files
    assert {name: sha256((out / name).read_bytes()).digest() for name in facts.files} == {
        name: sha256((built[0] / name).read_bytes()).digest() for name in facts.files
    }


def test_a_half_written_row_is_dropped(shards: list[Path], built: tuple[Path, VectorFacts], tmp_path: Path) -> None:
    out, stages = tmp_path / "out", []

    def stop_within_a_block(stage: str, done: int, total: int) -> None:
        stages.append(stage)
        if stages.count("vectors") == 4:
            with (out / "codes.u8").open("ab") as file:
                file.write(b"1" * 45)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(shards, out, settings(Layout.DISK), stop_within_a_block)
    assert build(shards, out, settings(Layout.DISK), silent).files == built[1].files


def test_a_finished_build_is_left_as_it_is(shards: list[Path], built: tuple[Path, VectorFacts]) -> None:
    stages: list[str] = []
    assert build(shards, built[0], settings(Layout.DISK), lambda stage, done, total: stages.append(stage)) == built[1]
    assert not stages
    assert {path.name for path in (built[0] / "work").iterdir()} == {"plan.json"}


def test_other_vectors_begin_the_build_anew(tmp_path: Path) -> None:
    first = build(write_shards(tmp_path / "a", clustered(500)), tmp_path / "out", VectorSettings(), silent)
    second = build(write_shards(tmp_path / "b", clustered(500, seed=1)), tmp_path / "out", VectorSettings(), silent)
    assert first.files != second.files


def test_facts_travel_as_json(built: tuple[Path, VectorFacts]) -> None:
    assert VectorFacts.model_validate(json.loads(built[1].model_dump_json())) == built[1]


@pytest.mark.parametrize("name", ["lists.faiss", "codes.u8", "halves.f16", "ranges.npy"])
@pytest.mark.parametrize("harm", ["missing", "cut", "changed"])
def test_a_harmed_file_is_refused_by_name(name: str, harm: str, shards: list[Path], built: tuple[Path, VectorFacts], tmp_path: Path) -> None:
    for path in built[0].iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    content = (tmp_path / name).read_bytes()
    if harm == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content[:-7] if harm == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(Conflict, match=rf"^{name} .*index the passages again$"):
        read(tmp_path, built[1])


def test_the_layout_follows_count_and_memory() -> None:
    def layout(count: int, memory_gb: float) -> tuple[Layout, int, int]:
        plan = choose_plan(count, 384, VectorSettings(memory_gb=memory_gb))
        return plan.layout, plan.lists, plan.bits

    assert layout(99_999, 3) == (Layout.EXACT, 0, 8)
    assert layout(1_000_000, 3) == (Layout.DISK, 4096, 4)
    assert layout(5_233_329, 3) == (Layout.DISK, 16_384, 4)
    assert layout(10_000_000, 3) == (Layout.SMALL, 16_384, 4)
    with pytest.raises(InvalidInput, match=r"^memory_gb: 3 GB do not hold 50000000 vectors"):
        layout(50_000_000, 3)


def test_files_that_are_no_vectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no vectors")
    np.save(tmp_path / "ints.npy", np.ones((3, 4), dtype=np.int64))
    np.save(tmp_path / "wide.npy", np.ones((3, 4), dtype=np.float32))
    np.save(tmp_path / "narrow.npy", np.ones((3, 2), dtype=np.float32))
    for names, message in [
        (["text"], "text.npy is not"),
        (["ints"], "ints.npy holds int64"),
        (["wide", "narrow"], "one dimension"),
        ([], "none given"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            build([tmp_path / f"{name}.npy" for name in names], tmp_path / "out", VectorSettings(), silent)


def test_settings_come_from_the_environment() -> None:
    found = VectorSettings.from_environment(
        {"RETRIEVER_RECALL": "0.9", "RETRIEVER_MEMORY_GB": "5", "RETRIEVER_LAYOUT": "small", "RETRIEVER_THREADS": ""}
    )
    assert (found.recall, found.memory_gb, found.layout, found.threads) == (0.9, 5.0, Layout.SMALL, 1)
    with pytest.raises(InvalidInput, match=r"^RETRIEVER_RECALL: "):
        VectorSettings.from_environment({"RETRIEVER_RECALL": "98"})


def test_a_harmed_build_is_made_anew(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", clustered(500))
    first = build(shards, tmp_path / "out", VectorSettings(), silent)
    (tmp_path / "out" / "exact.faiss").write_bytes(b"harmed")
    assert build(shards, tmp_path / "out", VectorSettings(), silent) == first
    assert read(tmp_path / "out", first).count == 500


def test_threads_find_what_one_finds(built: tuple[Path, VectorFacts]) -> None:
    index, queries = read(*built), clustered(COUNT + 64)[COUNT:]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda row: index.search(queries[row : row + 1], 10)[0], range(64)))
    assert together == index.search(queries, 10)


def test_deep_searches_find_as_many_as_there_are(built: tuple[Path, VectorFacts], vectors: Vectors) -> None:
    index = read(*built)
    exact = np.argsort(-(vectors[:20] @ vectors.T), axis=1)[:, :100]
    found = index.search(vectors[:20], 100)
    assert {len(row) for row in found} == {100}
    assert np.mean([len({p for p, _ in row} & set(best.tolist())) for row, best in zip(found, exact, strict=True)]) >= 85
    positions = [position for position, _ in index.search(vectors[:1], COUNT + 1)[0]]
    assert len(set(positions)) == len(positions) <= COUNT


def test_a_recall_out_of_reach_is_told_and_not_hidden(shards: list[Path], tmp_path: Path) -> None:
    coarse = settings(Layout.SMALL).model_copy(update={"recall": 0.9999, "subquantisers": 2})
    tuned = build(shards, tmp_path / "out", coarse, silent).tuned
    assert tuned is not None
    assert tuned.recall_target == 0.9999
    assert 0.5 < tuned.recall_chosen < 0.9999
    assert abs(tuned.recall_chosen - tuned.recall_verified) < 0.1


def test_given_queries_are_tuned_with(shards: list[Path], tmp_path: Path) -> None:
    np.save(tmp_path / "queries.npy", clustered(60, seed=5))
    told = settings(Layout.SMALL).model_copy(update={"queries": tmp_path / "queries.npy"})
    tuned = build(shards, tmp_path / "out", told, silent).tuned
    assert tuned is not None
    assert (tuned.queries_from, tuned.queries) == ("given queries", 30)
    np.save(tmp_path / "queries.npy", clustered(60, dimension=16))
    with pytest.raises(InvalidInput, match=r"^queries: queries.npy holds 60 of 16 dimensions; at least 2 of 32 are needed$"):
        build(shards, tmp_path / "other", told, silent)
