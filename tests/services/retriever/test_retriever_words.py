import subprocess
import sys
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hashing_embedder import ANIMALS, passage

from askback.contracts.errors import Conflict
from askback.contracts.records import Passage
from services.retriever.words.bm25s_index import K1, B, Bm25sIndex, words_of
from services.retriever.words.postings import TITLE_WEIGHT, merge, spill

MANY = [passage(f"Page {row}", f"word{row % 7} word{row % 11} word{row % 3} thing{row}.") for row in range(100)] + ANIMALS


def built(folder: Path, passages: list[Passage], block: int = 30) -> Bm25sIndex:
    paths = [folder / f"{start:04}.npz" for start in range(0, len(passages), block)]
    for path, start in zip(paths, range(0, len(passages), block), strict=True):
        spill(passages[start : start + block], path)
    merge(paths, folder / "bm25", lambda done, total: None)
    return Bm25sIndex.read(folder / "bm25")


def test_scores_are_those_of_bm25s_over_the_whole_corpus(tmp_path: Path) -> None:
    index = built(tmp_path, MANY)
    peer = bm25s.BM25(method="lucene", k1=K1, b=B)
    peer.index(words_of([f"{(entry.title + ' ') * TITLE_WEIGHT}{entry.text}" for entry in MANY]), show_progress=False)
    for query in ("word3 word5 and thing17", "page 99 of the animals", "dogs bark"):
        theirs = np.zeros(len(MANY), np.float32)
        theirs += peer.get_scores([word for word in words_of([query])[0] if word in peer.vocab_dict])
        ours = dict(index.search([query], len(MANY))[0])
        assert [ours[row] for row in range(len(MANY))] == pytest.approx(theirs.tolist(), abs=1e-5)


def test_blocks_do_not_change_the_index(tmp_path: Path) -> None:
    for name, block in (("one", 1000), ("many", 7)):
        (tmp_path / name).mkdir()
        built(tmp_path / name, MANY, block)
    one, many = ({path.name: path.read_bytes() for path in (tmp_path / name / "bm25").iterdir()} for name in ("one", "many"))
    assert one == many


def test_a_titles_word_counts_for_more(tmp_path: Path) -> None:
    index = built(tmp_path, [passage("Dogs", "They sleep."), passage("Sleep", "Some dogs do.")])
    assert [position for position, _ in index.search(["dogs"], 2)[0]] == [0, 1]
    assert [position for position, _ in index.rank("sleep", [0, 1])] == [1, 0]


@pytest.mark.parametrize("name", ["data.csc.index.npy", "indices.csc.index.npy", "indptr.csc.index.npy", "words.hash.npy", "params.index.json"])
@pytest.mark.parametrize("size", [None, 10, -8])
def test_a_file_that_is_missing_or_cut_is_refused(tmp_path: Path, name: str, size: int | None) -> None:
    built(tmp_path, MANY)
    path = tmp_path / "bm25" / name
    content = path.read_bytes()
    path.unlink() if size is None else path.write_bytes(content[:size])
    with pytest.raises(Conflict, match="index the passages again"):
        Bm25sIndex.read(tmp_path / "bm25")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    built(tmp_path, MANY)
    np.save(tmp_path / "bm25" / "words.hash.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Conflict, match=r"words\.hash\.npy cannot be read"):
        Bm25sIndex.read(tmp_path / "bm25")


def test_a_cut_spill_is_named(tmp_path: Path) -> None:
    spill(MANY, tmp_path / "0.npz")
    (tmp_path / "0.npz").write_bytes((tmp_path / "0.npz").read_bytes()[:500])
    with pytest.raises(Conflict, match=r"0\.npz cannot be read; remove .* and build again"):
        merge([tmp_path / "0.npz"], tmp_path / "bm25", lambda done, total: None)


def test_no_card_is_taken_where_jax_is_installed(tmp_path: Path) -> None:
    """bm25s imports JAX where it finds it, which sets itself up on the GPU unless it is told otherwise."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").touch()
    (tmp_path / "jax" / "lax.py").write_text(
        "import os\n\nprint('platforms', os.environ.get('JAX_PLATFORMS'))\n\ndef top_k(scores, k): return None\n"
    )
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import services.retriever.words.bm25s_index"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "platforms cpu\n"
