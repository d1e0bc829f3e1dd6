"""Keyword search with BM25 over mapped files. The only file that imports `bm25s`."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from askback.contracts.errors import Conflict
from services.retriever.shapes import Ranking
from services.retriever.storage.arrays import Array, Hashes, hashes, open_array

K1, B = 1.2, 0.75
"""Lucene's own. On 877 HotpotQA questions k1 of 0.9 to 2 and b of 0.4 to 0.75 moved recall@10 by 0.02, and these were best."""

DATA, INDICES, STARTS, WORDS = "data.csc.index.npy", "indices.csc.index.npy", "indptr.csc.index.npy", "words.hash.npy"
"""The first three are bm25s's own names and formats; the words are ours: sorted hashes in place of a dictionary in memory."""


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text that are searched for: lower case, two letters or more, no English stop or question words."""
    # the longer list, because queries are questions: "how" or "did" in a passage says nothing about it
    words: list[list[str]] = bm25s.tokenize(list(texts), stopwords="en_plus", return_ids=False, show_progress=False)
    return [[word for word in found if word] for found in words]


def write_parameters(folder: Path, count: int) -> None:
    """The file by which bm25s knows how the arrays beside it were made; `count` is of passages."""
    made = {"k1": K1, "b": B, "method": "lucene", "idf_method": "lucene", "dtype": "float32", "int_dtype": "int32", "num_docs": count}
    (folder / "params.index.json").write_text(json.dumps(made), encoding="utf-8")


class Bm25sIndex:
    """Lucene's BM25 over the words of `words_of`. Callable from several threads; a query needs 4 bytes a passage while it is answered."""

    def __init__(self, index: Any, words: Hashes) -> None:
        self._index = index
        self._words = words

    @classmethod
    def read(cls, folder: Path) -> "Bm25sIndex":
        """The index in `folder`, mapped; raises Conflict when it cannot be read or its parts do not fit each other."""
        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG and remarks on every query without words
        words = open_array(folder / WORDS, np.uint64)
        starts = open_array(folder / STARTS, np.int64)
        rows, scores = open_array(folder / INDICES, np.int32), open_array(folder / DATA, np.float32)
        if len(starts) != len(words) + 1 or not len(rows) == len(scores) == starts[-1]:
            raise Conflict(f"{folder.name} holds {len(words)} words, {len(rows)} rows and {len(scores)} scores; index the passages again")
        try:
            index = bm25s.BM25.load(folder, mmap=True, load_vocab=False, allow_pickle=False, show_progress=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Conflict(f"{folder.name} cannot be read ({error}); index the passages again") from error
        return cls(index, words)

    @property
    def count(self) -> int:
        return int(self._index.scores["num_docs"])

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """For each query the min(k, count) best with their BM25 scores; 0 marks passages that share no word with it."""
        return [_best(self._scores(words), min(k, self.count)) for words in words_of(queries)]

    def rank(self, query: str, positions: Sequence[int]) -> Ranking:
        """The passages at `positions` by their BM25 scores, best first."""
        scores = self._scores(words_of([query])[0])
        return sorted(((position, float(scores[position])) for position in positions), key=lambda hit: (-hit[1], hit[0]))

    def _scores(self, words: Sequence[str]) -> Array:
        wanted = hashes(words)
        found = np.searchsorted(self._words, wanted)
        known = found < len(self._words)
        known[known] = self._words[found[known]] == wanted[known]
        scores: Array = self._index.get_scores_from_ids(found[known].tolist())
        return scores


def _best(scores: Array, k: int) -> Ranking:
    found = np.flatnonzero(scores)  # few of millions share a word with a query
    if len(found) < k:  # filled up with the first of those that share none
        found = np.union1d(found, np.setdiff1d(np.arange(min(len(scores), k + len(found))), found)[: k - len(found)])
    top = found[np.argpartition(-scores[found], k - 1)[:k]]
    top = top[np.lexsort((top, -scores[top]))]
    return list(zip(top.tolist(), scores[top].tolist(), strict=True))
