"""One index as a folder: its passages, its vectors and its words; how it is read and searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from askback.contracts.errors import Conflict, NotFound
from askback.contracts.retriever import Hit, SearchMethod
from services.retriever.corpora.passages import indexed_text
from services.retriever.embedding.embedder import Embedder, embed_passages, embed_queries
from services.retriever.searching.fusion import fused
from services.retriever.shapes import Ranking, Vectors
from services.retriever.storage.passage_file import PASSAGES, PassageFile
from services.retriever.storage.store import VECTORS, WORDS, Manifest
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.facts import VectorFacts, check_files
from services.retriever.vectors.protocol import VectorIndex
from services.retriever.words.bm25s_index import Bm25sIndex

CANDIDATES = 100
"""How deep each ranking goes into the fusion."""

_HASHED_WHOLE = 1 << 26  # bytes; longer passages are known by their size and both ends, so that a service is ready in seconds


@dataclass(frozen=True)
class SearchIndex:
    """An index whose files are mapped. It stays usable when its folder is removed, and from several threads."""

    passages: PassageFile
    vectors: VectorIndex
    words: Bm25sIndex

    @classmethod
    def read(cls, folder: Path, manifest: Manifest, engine: VectorEngine) -> "SearchIndex":
        """The index in `folder`; raises Conflict when a file is missing or is not what `manifest` says."""
        check_files(folder, VectorFacts.model_construct(files=manifest.files))
        if (folder / PASSAGES).stat().st_size <= _HASHED_WHOLE and sha256((folder / PASSAGES).read_bytes()).hexdigest() != manifest.checksum:
            raise Conflict(f"{PASSAGES} differs from the checksum in its manifest; index the passages again")
        index = cls(PassageFile(folder), engine.read(folder / VECTORS, manifest.vectors), Bm25sIndex.read(folder / WORDS))
        counts = {PASSAGES: len(index.passages), VECTORS: index.vectors.count, WORDS: index.words.count}
        for part, count in counts.items():
            if count != manifest.count:
                raise Conflict(f"{part} holds {count} passages, the manifest says {manifest.count}; index the passages again")
        if index.vectors.dimension != manifest.dimension:
            raise Conflict(f"{VECTORS} has {index.vectors.dimension} dimensions, the manifest says {manifest.dimension}; index the passages again")
        return index

    def search(self, queries: Sequence[str], k: int, method: SearchMethod, embedder: Embedder, titles: Sequence[str] = ()) -> list[list[Hit]]:
        """The min(k, count) best passages per query, best first; scores are cosines, BM25 scores or fused ranks by `method`.

        With `titles`, of the passages that bear one of them; raises NotFound when there is none.
        """
        rankings = self._among(queries, titles, method, embedder) if titles else self.rank(queries, k, method, embedder)
        return [self.hits(ranking[:k]) for ranking in rankings]

    def hits(self, ranking: Ranking) -> list[Hit]:
        """The passages of a ranking."""
        return [Hit(passage=self.passages[position], score=score) for position, score in ranking]

    def rank(self, queries: Sequence[str], k: int, method: SearchMethod, embedder: Embedder) -> list[Ranking]:
        """At least min(k, count) positions per query, best first."""
        if method is SearchMethod.BM25:
            return self.words.search(queries, k)
        if method is SearchMethod.DENSE:
            return self.vectors.search(embed_queries(embedder, queries), k)
        return self.hybrid(queries, embed_queries(embedder, queries), k)

    def hybrid(self, queries: Sequence[str], vectors: Vectors, k: int) -> list[Ranking]:
        """Vectors and words fused; `vectors` are those of the queries."""
        depth = max(k, CANDIDATES)
        dense = self.vectors.search(vectors, depth)
        return [fused(*pair) for pair in zip(dense, self.words.search(queries, depth), strict=True)]

    def _among(self, queries: Sequence[str], titles: Sequence[str], method: SearchMethod, embedder: Embedder) -> list[Ranking]:
        positions = sorted({position for title in titles for position in self.passages.titled(title)})
        if not positions:
            raise NotFound(f"titles: no passage bears {titles[0]!r} or another of the {len(titles)} titles; leave titles out, or name a page")
        words = [self.words.rank(query, positions) for query in queries]
        if method is SearchMethod.BM25:
            return words
        # a handful of texts is embedded anew, for not every engine of vectors gives its own back
        texts = embed_passages(embedder, [indexed_text(self.passages[position]) for position in positions])
        dense = [_ranked(positions, texts @ vector) for vector in embed_queries(embedder, queries)]
        return dense if method is SearchMethod.DENSE else [fused(*pair) for pair in zip(dense, words, strict=True)]


def _ranked(positions: Sequence[int], scores: Vectors) -> Ranking:
    return sorted(zip(positions, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))
