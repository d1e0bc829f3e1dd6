import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hashing_embedder import ANIMALS, HashingEmbedder

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.retriever import IndexRequest, SearchMethod, SearchRequest
from services.retriever.building.__main__ import build, main
from services.retriever.corpora.jsonl import Jsonl
from services.retriever.library import Library
from services.retriever.storage.store import IndexStore, Manifest
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.facts import QdrantFacts
from services.retriever.vectors.qdrant_settings import QdrantSettings
from services.retriever.vectors.settings import VectorSettings

HERE = Path(__file__).parent


def corpus(path: Path, count: int, seed: int = 0) -> Path:
    dice = random.Random(seed)
    words = [f"w{i:x}" for i in range(2000)]
    with path.open("w") as file:
        for row in range(count):
            sentences = [" ".join(dice.choices(words, k=12)) + "." for _ in range(3)]
            file.write(json.dumps({"id": str(row), "title": f"Page {row}", "sentences": sentences}) + "\n")
    return path


def made(root: Path, path: Path, limit: int = 0, embedder: HashingEmbedder | None = None) -> Manifest:
    return build(IndexStore(root), "made", Jsonl(path), limit, embedder or HashingEmbedder(), VectorEngine(VectorSettings()))


def files(root: Path) -> dict[str, bytes]:
    folder = (root / "made").resolve()
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def child(root: Path, path: Path) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, HERE / "killed_build.py", root, path], env=environment, stderr=subprocess.PIPE)


def test_a_corpus_file_becomes_an_index_that_a_library_searches(tmp_path: Path) -> None:
    manifest = made(tmp_path / "index", corpus(tmp_path / "corpus.jsonl", 300))
    assert (manifest.count, manifest.vectors.count, manifest.source[:6]) == (300, 300, "jsonl:")
    library = Library(IndexStore(tmp_path / "index"), HashingEmbedder())
    hits = library.search(SearchRequest(query="Page 123", titles=["page 123"], index="made")).hits[0]
    assert [hit.passage.id for hit in hits] == ["123"]
    assert not (tmp_path / "index" / ".builds" / "made" / "work").exists()


def test_the_same_command_again_does_nothing_and_another_corpus_replaces(tmp_path: Path) -> None:
    path, root = corpus(tmp_path / "corpus.jsonl", 50), tmp_path / "index"
    made(root, path)
    before, again = files(root), HashingEmbedder()
    made(root, path, embedder=again)
    assert (files(root), again.seen) == (before, [])
    assert made(root, path, limit=20).count == 20
    assert made(root, corpus(path, 60, seed=1)).count == 60


def test_a_request_does_not_replace_what_was_built_from_a_file(tmp_path: Path) -> None:
    made(tmp_path, corpus(tmp_path / "corpus.jsonl", 50))
    library = Library(IndexStore(tmp_path), HashingEmbedder())
    with pytest.raises(Conflict, match="index 'made' was built from a corpus file; index these passages under another name"):
        library.put(IndexRequest(name="made", passages=ANIMALS))
    assert library.search(SearchRequest(query="page 7", index="made", titles=["page 7"])).hits[0][0].passage.id == "7"


def test_a_damaged_index_is_built_again_by_the_same_command(tmp_path: Path) -> None:
    path, root = corpus(tmp_path / "corpus.jsonl", 50), tmp_path / "index"
    made(root, path)
    before = files(root)
    (root / "made" / "vectors" / "exact.faiss").write_bytes(b"x")
    made(root, path)
    assert files(root) == before


def test_equal_passages_are_kept_once_and_unequal_ones_of_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    rows = [{"id": "1", "title": "Cat", "text": "Purrs."}, {"id": "2", "title": "Dog", "text": "Barks."}]
    path.write_text("\n".join(json.dumps(row) for row in [rows[0], rows[0], rows[1], rows[0]]))
    assert made(tmp_path / "index", path).count == 2
    library = Library(IndexStore(tmp_path / "index"), HashingEmbedder())
    assert library.search(SearchRequest(query="dog barks", k=1, index="made")).hits[0][0].passage.title == "Dog"
    assert library.search(SearchRequest(query="barks", titles=["dog"], index="made")).hits[0][0].passage.id == "2"
    path.write_text("\n".join(json.dumps(row) for row in [*rows, rows[0] | {"text": "Hunts."}]))
    with pytest.raises(InvalidInput, match="id '1' stands for two passages; ids must be unique"):
        made(tmp_path / "index", path)


def test_vectors_may_lie_in_qdrant(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    path, store = corpus(tmp_path / "corpus.jsonl", 200), IndexStore(tmp_path / "index")
    engine = VectorEngine(VectorSettings(), QdrantSettings(url=str(tmp_path / "qdrant")))
    manifest = build(store, "made", Jsonl(path), 0, HashingEmbedder(), engine)
    assert isinstance(manifest.vectors, QdrantFacts)
    request = SearchRequest(query="Page 77", index="made", k=10, method=SearchMethod.DENSE)
    found = Library(store, HashingEmbedder(), engine).search(request).hits
    build(store, "made", Jsonl(path), 0, HashingEmbedder(), VectorEngine(VectorSettings()))
    exact = Library(store, HashingEmbedder()).search(request).hits
    assert [hit.score for hit in found[0]] == pytest.approx([hit.score for hit in exact[0]], abs=1e-5)  # ties may be in another order


def test_an_index_in_qdrant_wants_its_address(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    store = IndexStore(tmp_path / "index")
    engine = VectorEngine(VectorSettings(), QdrantSettings(url=":memory:"))
    build(store, "made", Jsonl(corpus(tmp_path / "corpus.jsonl", 20)), 0, HashingEmbedder(), engine)
    with pytest.raises(Conflict, match=r"index 'made': its vectors lie in Qdrant's collection .*; set QDRANT_URL"):
        Library(store, HashingEmbedder()).search(SearchRequest(query="page", index="made"))


def test_two_builds_of_one_name_do_not_meet(tmp_path: Path) -> None:
    store = IndexStore(tmp_path / "index")
    with store.building("made"), pytest.raises(Conflict, match="'made' is being built by another process"):
        made(tmp_path / "index", corpus(tmp_path / "corpus.jsonl", 5))


def test_builds_killed_at_random_points_end_in_the_same_index(tmp_path: Path) -> None:
    path = corpus(tmp_path / "corpus.jsonl", 9000)
    whole = child(tmp_path / "whole", path)
    assert whole.wait(120) == 0, whole.stderr and whole.stderr.read()
    lines = whole.stderr.read().splitlines() if whole.stderr else []
    whole.stderr.close() if whole.stderr else None
    stages = list(dict.fromkeys(line.split(b":")[0] for line in lines))
    assert len(stages) >= 6, stages
    for stage in stages:
        killed = child(tmp_path / "killed", path)
        assert killed.stderr
        for line in killed.stderr:
            if line.startswith(stage):
                break
        killed.kill()
        killed.wait(20)
        killed.stderr.close()
    last = child(tmp_path / "killed", path)
    assert last.wait(120) == 0
    last.stderr.close() if last.stderr else None
    one, other = files(tmp_path / "whole"), files(tmp_path / "killed")
    assert one.keys() == other.keys()
    # the tuning is by measured time, so what it chose may differ; what it chose among may not
    assert [name for name in one if one[name] != other[name] and name not in ("manifest.json", "vectors/facts.json")] == []


_MEASURED = """
import resource, sys
from pathlib import Path
import numpy as np
from services.retriever.building.__main__ import build
from services.retriever.corpora.jsonl import Jsonl
from services.retriever.storage.arrays import hashes
from services.retriever.storage.store import IndexStore
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.facts import QdrantFacts
from services.retriever.vectors.qdrant_settings import QdrantSettings
from services.retriever.vectors.settings import VectorSettings

class Small:
    identity, query_prefix, passage_prefix = "small@1", "", ""

    def encode(self, texts):
        rows = hashes(texts).view(np.uint8).reshape(-1, 8).astype(np.float32) + 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

def made(name, limit):  # exact, so that what grows is the vectors alone: 32 bytes each
    return build(IndexStore(Path(sys.argv[1])), name, Jsonl(Path(sys.argv[2])), limit, Small(), VectorEngine(VectorSettings(exact_below=10**6)))

made("warm", 3000)  # libraries, and the threads that they start
with open("/proc/self/status") as status:
    size = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[3]), size + int(sys.argv[3])))
print(made("whole", 0).count)
"""


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    path, count = corpus(tmp_path / "corpus.jsonl", 20_000), 200_000
    with path.open("a") as file:  # the rest is generated by a rule, which is quicker
        for row in range(20_000, count):
            file.write(f'{{"id": "{row}", "title": "Page {row}", "sentences": ["w{row % 1999:x} w{row % 1777:x} w{row % 97:x} and more words."]}}\n')
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OMP_NUM_THREADS": "1"}
    limit = 128 << 20  # the passages alone, as objects, would take twice as much
    arguments = [sys.executable, "-c", _MEASURED, str(tmp_path), str(path), str(limit)]
    seen = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=280)
    assert seen.stdout.strip() == str(count), (seen.returncode, seen.stderr[-2000:])


def test_the_command_tells_a_mistake_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("INDEX_DIR", str(tmp_path / "index"))
    assert main(["build", "wiki", "--wiki", str(tmp_path / "none.tar.bz2")]) == 2
    assert capsys.readouterr().err == f"index: {tmp_path / 'none.tar.bz2'} cannot be read (No such file or directory); name the corpus file\n"
    assert main(["list"]) == 0
    assert capsys.readouterr().out.startswith("no indexes yet")


@pytest.mark.parametrize("name", ["../up", "Upper", "", "a/b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of an index"):
        build(IndexStore(tmp_path), name, Jsonl(tmp_path / "x"), 0, HashingEmbedder(), VectorEngine(VectorSettings()))
