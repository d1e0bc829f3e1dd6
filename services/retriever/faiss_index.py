"""Vector search with FAISS. The only file that imports `faiss`."""

from pathlib import Path
from typing import Any

import faiss

from askback.contracts.errors import Conflict
from services.retriever.core import Ranking
from services.retriever.embedder import Vectors


class FaissIndex:
    """Any FAISS index over inner products of unit vectors, that is, over cosines."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def flat(cls, vectors: Vectors) -> "FaissIndex":
        """Exact search over `vectors`, float32 of shape (n, dimension), unit length."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> "FaissIndex":
        """The index stored at `path`; raises Conflict when it cannot be read or is not over inner products."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:  # FAISS raises nothing finer
            raise Conflict(f"{path.name} cannot be read; index the passages again") from error
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise Conflict(f"{path.name} is not over inner products; index the passages again")
        return cls(index)

    def write(self, path: Path) -> None:
        faiss.write_index(self._index, str(path))

    @property
    def count(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def search(self, vectors: Vectors, k: int) -> list[Ranking]:
        """For each row of `vectors`, of shape (q, dimension), the min(k, count) nearest with their cosines."""
        scores, positions = self._index.search(vectors, min(k, self.count))
        # an approximate index fills up with -1 where it found fewer
        return [
            [(position, score) for position, score in zip(row, row_scores, strict=True) if position >= 0]
            for row, row_scores in zip(positions.tolist(), scores.tolist(), strict=True)
        ]
