import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from hashing_embedder import ANIMALS, HashingEmbedder, passage

from askback.contracts.errors import Conflict, InvalidInput, NotFound, UpstreamRejected
from askback.contracts.records import Passage
from askback.contracts.retriever import IndexRequest, SearchMethod, SearchRequest
from services.retriever.library import Library
from services.retriever.shapes import Vectors
from services.retriever.storage.store import IndexStore


def library(root: Path, embedder: HashingEmbedder | None = None) -> Library:
    return Library(IndexStore(root), embedder or HashingEmbedder())


def put(to: Library, passages: list[Passage], name: str = "default") -> int:
    return to.put(IndexRequest(name=name, passages=passages)).count


def found(where: Library, query: str, method: SearchMethod = SearchMethod.HYBRID, k: int = 1) -> list[str]:
    answer = where.search(SearchRequest(queries=[query], k=k, method=method))
    return [hit.passage.title for hit in answer.hits[0]]


@pytest.mark.parametrize("method", list(SearchMethod))
def test_each_method_finds_the_passage_and_gives_it_back_whole(tmp_path: Path, method: SearchMethod) -> None:
    shelf = library(tmp_path)
    assert put(shelf, ANIMALS) == 4
    answer = shelf.search(SearchRequest(queries=["dogs bark", "whales sing"], k=2, method=method))
    assert [hits[0].passage for hits in answer.hits] == [ANIMALS[1], ANIMALS[2]]
    for hits in answer.hits:
        assert len(hits) == 2
        assert hits[0].score > hits[1].score


def test_dense_scores_are_cosines_and_hybrid_scores_are_fused_ranks(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    put(shelf, ANIMALS)
    text = "Dog. Dogs bark loudly and guard houses."
    dense = shelf.search(SearchRequest(queries=[text], k=1, method=SearchMethod.DENSE)).hits[0][0]
    assert dense.score == pytest.approx(1.0, abs=1e-5)
    hybrid = shelf.search(SearchRequest(queries=[text], k=1)).hits[0][0]
    assert hybrid.score == pytest.approx(1 / 6 + 2 / 6)


@pytest.mark.parametrize("method", list(SearchMethod))
def test_k_above_the_count_returns_all(tmp_path: Path, method: SearchMethod) -> None:
    shelf = library(tmp_path)
    put(shelf, ANIMALS)
    assert sorted(found(shelf, "dogs bark", method, k=100)) == ["Cat", "Dog", "Eagle", "Whale"]


@pytest.mark.parametrize("query", ["zebra zebras", "What is it that they did of most?"])
def test_a_query_without_words_to_find_leaves_hybrid_to_the_vectors(tmp_path: Path, query: str) -> None:
    shelf = library(tmp_path)
    put(shelf, ANIMALS)
    assert found(shelf, query, k=4) == found(shelf, query, SearchMethod.DENSE, k=4)
    bm25 = shelf.search(SearchRequest(queries=[query], k=4, method=SearchMethod.BM25)).hits[0]
    assert [hit.score for hit in bm25] == [0.0] * 4


def test_passages_without_any_word_can_be_indexed(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    put(shelf, [passage("a", "the"), passage("b", "of")])
    assert sorted(found(shelf, "anything", SearchMethod.BM25, k=2)) == ["a", "b"]
    assert len(found(shelf, "anything", k=2)) == 2


def test_prefixes_go_to_their_own_side(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    embedder.query_prefix, embedder.passage_prefix = "query: ", "passage: "
    shelf = library(tmp_path, embedder)
    put(shelf, [passage("Cat", "Purrs.")])
    found(shelf, "who purrs")
    assert embedder.seen == ["passage: Cat. Purrs.", "query: who purrs"]


def test_equal_passages_again_rebuild_nothing(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    shelf = library(tmp_path, embedder)
    first = shelf.put(IndexRequest(name="default", passages=ANIMALS))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    embedded = len(embedder.seen)
    again = library(tmp_path, embedder).put(IndexRequest(name="default", passages=[*ANIMALS, ANIMALS[0]]))
    assert again == first
    assert len(embedder.seen) == embedded == 4
    assert files == {path: path.stat().st_mtime_ns for path in files}
    assert len(files) >= 6


def test_new_passages_replace_the_old(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    put(shelf, ANIMALS)
    assert found(shelf, "dogs bark") == ["Dog"]
    put(shelf, [passage("Wolf", "Like dogs but they do not bark.")])
    assert found(shelf, "dogs bark", k=4) == ["Wolf"]


def test_an_index_written_by_another_process_is_seen(tmp_path: Path) -> None:
    serving, building = library(tmp_path), library(tmp_path)
    put(building, ANIMALS)
    assert found(serving, "dogs bark") == ["Dog"]
    put(building, [passage("Wolf", "Howls.")])
    assert found(serving, "dogs bark") == ["Wolf"]


class GatedEmbedder(HashingEmbedder):
    """Waits in the middle of a build, before the text `stop`, until the gate opens."""

    def __init__(self, stop: str) -> None:
        super().__init__()
        self.stop, self.reached, self.gate = stop, Event(), Event()

    def encode(self, texts: Sequence[str]) -> Vectors:
        if any(self.stop in text for text in texts):
            self.reached.set()
            assert self.gate.wait(20)
        return super().encode(texts)


def test_the_old_index_is_searched_while_the_new_one_is_built(tmp_path: Path) -> None:
    embedder = GatedEmbedder(stop="howl")
    shelf = library(tmp_path, embedder)
    put(shelf, ANIMALS)
    build = Thread(target=put, args=(shelf, [passage("Wolf", "Wolves howl.")]))
    build.start()
    assert embedder.reached.wait(20)
    assert found(shelf, "dogs bark") == ["Dog"]
    embedder.gate.set()
    build.join(20)
    assert found(shelf, "dogs bark") == ["Wolf"]


def test_an_unknown_index_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    with pytest.raises(NotFound, match="no index 'default'; known indexes: none yet"):
        found(shelf, "dogs")
    put(shelf, ANIMALS, "animals")
    put(shelf, ANIMALS, "beasts")
    with pytest.raises(NotFound, match="no index 'default'; known indexes: animals, beasts"):
        found(shelf, "dogs")


def test_an_empty_query_is_refused_with_its_place(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    put(shelf, ANIMALS)
    with pytest.raises(InvalidInput, match=r"queries\.1 is empty"):
        shelf.search(SearchRequest(queries=["dogs", " \n"]))


def test_an_index_of_another_embedder_is_refused_until_it_is_built_again(tmp_path: Path) -> None:
    put(library(tmp_path), ANIMALS)
    other = library(tmp_path, HashingEmbedder("hashing@2", dimension=32))
    with pytest.raises(Conflict, match=r"index 'default': it was built with embedder hashing@1 .* this service runs hashing@2"):
        found(other, "dogs bark")
    assert "hashing@1" in (other.entries().indexes[0].error or "")
    put(other, ANIMALS)
    assert found(other, "dogs bark") == ["Dog"]
    assert other.entries().indexes[0].error is None


def test_an_index_of_another_passage_prefix_is_refused(tmp_path: Path) -> None:
    put(library(tmp_path), ANIMALS)
    prefixed = HashingEmbedder()
    prefixed.passage_prefix = "passage: "
    with pytest.raises(Conflict, match="passage prefix '', this service runs hashing@1 and 'passage: '"):
        found(library(tmp_path, prefixed), "dogs bark")


def lose_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def change_count(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"count": 5}))


def change_dimension(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dimension": 5}))


def change_passage(folder: Path) -> None:
    path = folder / "passages.jsonl"
    path.write_text(path.read_text().replace("purr", "roar"))


def lose_passages(folder: Path) -> None:
    (folder / "passages.jsonl").unlink()


def cut_vectors(folder: Path) -> None:
    path = folder / "vectors" / "exact.faiss"
    path.write_bytes(path.read_bytes()[:-40])


def lose_words(folder: Path) -> None:
    (folder / "bm25" / "data.csc.index.npy").unlink()


def pickle_words(folder: Path) -> None:
    np.save(folder / "bm25" / "data.csc.index.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lose_manifest, "manifest.json is missing"),
        (change_count, "holds 4 passages, the manifest says 5"),
        (change_dimension, "has 64 dimensions, the manifest says 5"),
        (change_passage, "passages.jsonl differs from the checksum"),
        (lose_passages, "passages.jsonl cannot be read"),
        (cut_vectors, "exact.faiss has [0-9]+ bytes, the manifest says"),
        (lose_words, "data.csc.index.npy cannot be read"),
        (pickle_words, "data.csc.index.npy has [0-9]+ bytes, the manifest says"),
    ],
)
def test_a_damaged_index_is_refused_and_the_named_remedy_mends_it(tmp_path: Path, damage: "object", reason: str) -> None:
    put(library(tmp_path), ANIMALS)
    assert callable(damage)
    damage((tmp_path / "default").resolve())
    shelf = library(tmp_path)
    with pytest.raises(Conflict, match=f"index 'default': .*{reason}.*index the passages again"):
        found(shelf, "dogs bark")
    put(shelf, ANIMALS)
    assert found(shelf, "dogs bark") == ["Dog"]


def test_nothing_on_disk_is_a_pickle(tmp_path: Path) -> None:
    put(library(tmp_path), ANIMALS)
    folder = (tmp_path / "default").resolve()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"manifest.json", "passages.jsonl", "vectors/exact.faiss"} <= names
    assert {Path(name).suffix for name in names} == {".json", ".jsonl", ".faiss", ".npy"}
    for array in folder.rglob("*.npy"):
        np.load(array, allow_pickle=False)


class BadEmbedder(HashingEmbedder):
    def __init__(self, scale: float, dtype: str = "float32") -> None:
        super().__init__()
        self.scale, self.dtype = scale, dtype

    def encode(self, texts: Sequence[str]) -> Vectors:
        return (super().encode(texts) * self.scale).astype(self.dtype)


@pytest.mark.parametrize(
    ("embedder", "reason"),
    [
        (BadEmbedder(2.0), "a vector of length 2 for text 0"),
        (BadEmbedder(float("nan")), "a vector of length nan for text 0"),
        (BadEmbedder(1.0, "float64"), r"float64 of shape \(4, 64\)"),
    ],
)
def test_vectors_that_break_the_contract_are_not_stored(tmp_path: Path, embedder: HashingEmbedder, reason: str) -> None:
    shelf = library(tmp_path, embedder)
    with pytest.raises(UpstreamRejected, match=reason):
        put(shelf, ANIMALS)
    assert shelf.entries().indexes == []


def test_more_passages_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    many = [passage(f"Town {number}", f"The town of number{number} lies by the sea.") for number in range(150)]
    shelf = library(tmp_path, HashingEmbedder(dimension=4096))
    assert put(shelf, many) == 150
    for number in (0, 63, 64, 149):
        assert found(shelf, f"number{number}", SearchMethod.DENSE) == [f"Town {number}"]
        assert found(shelf, f"number{number}", SearchMethod.BM25) == [f"Town {number}"]
