"""One index as a folder: its passages, its vectors and its words; how it is written, read and searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from askback.contracts.errors import Conflict
from askback.contracts.records import Passage
from askback.contracts.retriever import Hit, SearchMethod
from services.retriever.bm25s_index import Bm25sIndex
from services.retriever.core import Ranking, reciprocal_rank_fusion
from services.retriever.embedder import Embedder, embed_passages, embed_queries
from services.retriever.faiss_index import FaissIndex
from services.retriever.passages import checksum, from_jsonl, indexed_text, to_jsonl
from services.retriever.store import FORMAT, Manifest

CANDIDATES = 100
"""How deep each ranking goes into the fusion."""

_PASSAGES, _VECTORS, _WORDS = "passages.jsonl", "vectors.faiss", "bm25"


def write_index(folder: Path, passages: Sequence[Passage], embedder: Embedder) -> Manifest:
    """Index `passages` into the empty `folder`; returns the manifest, which the store writes last."""
    texts = [indexed_text(passage) for passage in passages]
    jsonl = to_jsonl(passages)
    (folder / _PASSAGES).write_bytes(jsonl)
    vectors = FaissIndex.flat(embed_passages(embedder, texts))
    vectors.write(folder / _VECTORS)
    Bm25sIndex.build(texts).write(folder / _WORDS)
    return Manifest(
        format=FORMAT,
        count=len(passages),
        checksum=checksum(jsonl),
        embedder=embedder.identity,
        passage_prefix=embedder.passage_prefix,
        dimension=vectors.dimension,
    )


@dataclass(frozen=True)
class SearchIndex:
    """An index in memory. It stays usable when its folder is replaced."""

    passages: Sequence[Passage]
    vectors: FaissIndex
    words: Bm25sIndex

    @classmethod
    def read(cls, folder: Path, manifest: Manifest) -> "SearchIndex":
        """The index in `folder`; raises Conflict when a file is missing or is not what `manifest` says."""
        try:
            jsonl = (folder / _PASSAGES).read_bytes()
        except OSError as error:
            raise Conflict(f"{_PASSAGES} cannot be read; index the passages again") from error
        if checksum(jsonl) != manifest.checksum:
            raise Conflict(f"{_PASSAGES} differs from the checksum in its manifest; index the passages again")
        index = cls(from_jsonl(jsonl), FaissIndex.read(folder / _VECTORS), Bm25sIndex.read(folder / _WORDS))
        counts = {_PASSAGES: len(index.passages), _VECTORS: index.vectors.count, _WORDS: index.words.count}
        for part, count in counts.items():
            if count != manifest.count:
                raise Conflict(f"{part} holds {count} passages, the manifest says {manifest.count}; index the passages again")
        if index.vectors.dimension != manifest.dimension:
            raise Conflict(f"{_VECTORS} has {index.vectors.dimension} dimensions, the manifest says {manifest.dimension}; index the passages again")
        return index

    def search(self, queries: Sequence[str], k: int, method: SearchMethod, embedder: Embedder) -> list[list[Hit]]:
        """The min(k, count) best passages per query, best first; scores are cosines, BM25 scores or fused ranks by `method`."""
        rankings = self._rank(queries, k, method, embedder)
        return [[Hit(passage=self.passages[position], score=score) for position, score in ranking[:k]] for ranking in rankings]

    def _rank(self, queries: Sequence[str], k: int, method: SearchMethod, embedder: Embedder) -> list[Ranking]:
        if method is SearchMethod.BM25:
            return self.words.search(queries, k)
        if method is SearchMethod.DENSE:
            return self.vectors.search(embed_queries(embedder, queries), k)
        depth = max(k, CANDIDATES)
        dense = self.vectors.search(embed_queries(embedder, queries), depth)
        # a passage without a word of the query was not found by BM25, so it has no rank there
        sparse = [[hit for hit in ranking if hit[1] > 0] for ranking in self.words.search(queries, depth)]
        return [reciprocal_rank_fusion(pair) for pair in zip(dense, sparse, strict=True)]
