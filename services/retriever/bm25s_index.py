"""Keyword search with BM25. The only file that imports `bm25s`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s

from askback.contracts.errors import Conflict
from services.retriever.core import Ranking

_NO_WORD = ""  # stands for a passage without words; no query yields it


class Bm25sIndex:
    """Lucene's BM25 (k1 = 1.5, b = 0.75) over lower-case words of two letters or more, without English stop and question words."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, texts: Sequence[str]) -> "Bm25sIndex":
        # bm25s refuses a corpus in which no text has a word
        words = [found or [_NO_WORD] for found in _words(texts)]
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        index.index(words, show_progress=False)
        return cls(index)

    @classmethod
    def read(cls, folder: Path) -> "Bm25sIndex":
        """The index stored in `folder` as JSON and plain arrays; raises Conflict when it cannot be read."""
        try:
            return cls(bm25s.BM25.load(folder, allow_pickle=False, show_progress=False))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Conflict(f"{folder.name} cannot be read ({error}); index the passages again") from error

    def write(self, folder: Path) -> None:
        self._index.save(folder, allow_pickle=False, show_progress=False)

    @property
    def count(self) -> int:
        return int(self._index.scores["num_docs"])

    def search(self, queries: Sequence[str], k: int) -> list[Ranking]:
        """For each query the min(k, count) best with their BM25 scores; 0 marks passages that share no word with it."""
        found = self._index.retrieve(_words(queries), k=min(k, self.count), show_progress=False)
        rows = zip(found.documents.tolist(), found.scores.tolist(), strict=True)
        return [sorted(zip(positions, scores, strict=True), key=lambda hit: (-hit[1], hit[0])) for positions, scores in rows]


def _words(texts: Sequence[str]) -> list[list[str]]:
    # the longer list, because queries are questions: "how" or "did" in a passage says nothing about it
    words: list[list[str]] = bm25s.tokenize(list(texts), stopwords="en_plus", return_ids=False, show_progress=False)
    return words
