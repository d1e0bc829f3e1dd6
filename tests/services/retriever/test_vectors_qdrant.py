"""The engine Qdrant, against its client's own local mode."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from askback.contracts.errors import Conflict, InvalidInput, NotFound, UpstreamUnavailable
from services.retriever.vectors.qdrant_settings import QdrantSettings
from tests.services.retriever.clustered_vectors import clustered, write_shards

pytest.importorskip("qdrant_client", reason="install askback[qdrant]")

from services.retriever.vectors.qdrant_index import QdrantIndex, connect, upload

SETTINGS = QdrantSettings(url=":memory:")


def silent(stage: str, done: int, total: int) -> None: ...


@pytest.fixture
def client() -> Any:
    return connect(SETTINGS)


def test_it_finds_what_exact_search_finds(client: Any, tmp_path: Path) -> None:
    vectors = clustered(2500)
    facts = upload(write_shards(tmp_path, vectors), client, SETTINGS, silent)
    index = QdrantIndex.read(client, SETTINGS, facts)
    queries = clustered(2520)[2500:]
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    found = index.search(queries, 5)
    assert (index.count, index.dimension) == (2500, 32)
    assert [[position for position, _ in row] for row in found] == exact.tolist()
    assert found[0][0][1] == pytest.approx(float(queries[0] @ vectors[exact[0, 0]]), abs=1e-3)


def test_a_broken_upload_goes_on_where_it_was(client: Any, tmp_path: Path) -> None:
    shards, seen = write_shards(tmp_path, clustered(3500)), []

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(shards, client, SETTINGS, stop)
    facts = upload(shards, client, SETTINGS, lambda stage, done, total: seen.append(done))
    assert seen == [3000, 3500]
    assert QdrantIndex.read(client, SETTINGS, facts).count == 3500


def test_other_vectors_go_to_another_collection(client: Any, tmp_path: Path) -> None:
    first = upload(write_shards(tmp_path / "a", clustered(300)), client, SETTINGS, silent)
    second = upload(write_shards(tmp_path / "b", clustered(300, seed=1)), client, SETTINGS, silent)
    assert first.collection != second.collection
    assert QdrantIndex.read(client, SETTINGS, first).count == 300


def test_k_above_the_count_finds_all(client: Any, tmp_path: Path) -> None:
    facts = upload(write_shards(tmp_path, clustered(30)), client, SETTINGS, silent)
    assert len(QdrantIndex.read(client, SETTINGS, facts).search(clustered(1), 100)[0]) == 30


def test_a_missing_or_other_collection_is_refused(client: Any, tmp_path: Path) -> None:
    facts = upload(write_shards(tmp_path, clustered(30)), client, SETTINGS, silent)
    with pytest.raises(NotFound, match="index the passages again"):
        QdrantIndex.read(client, SETTINGS, facts.model_copy(update={"collection": "gone"}))
    with pytest.raises(Conflict, match="holds 30 vectors of 32 dimensions, the manifest says 31 of 32"):
        QdrantIndex.read(client, SETTINGS, facts.model_copy(update={"count": 31}))


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    away = QdrantSettings(url="http://127.0.0.1:9", timeout_s=2)
    with pytest.raises(UpstreamUnavailable, match=r"^Qdrant at http://127.0.0.1:9 cannot be reached .*check QDRANT_URL$"):
        upload(write_shards(tmp_path, clustered(30)), connect(away), away, silent)


def test_settings_come_from_the_environment() -> None:
    assert QdrantSettings.from_environment({}) is None
    found = QdrantSettings.from_environment(
        {"QDRANT_URL": "http://q:6333", "QDRANT_SHARDS": "6", "QDRANT_QUANTISATION": "binary", "QDRANT_KEY": "hidden"}
    )
    assert found is not None
    assert (found.shards, found.quantisation) == (6, "binary")
    assert "hidden" not in repr(found)
    with pytest.raises(InvalidInput, match=r"^QDRANT_REPLICAS: "):
        QdrantSettings.from_environment({"QDRANT_URL": "http://q:6333", "QDRANT_REPLICAS": "0"})
