"""Exact search with FAISS, over an index in one file or over vectors as they are read."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from askback.contracts.errors import Conflict
from services.retriever.shapes import Ranking, Vectors
from services.retriever.vectors.shards import Positions


class FaissIndex:
    """Any FAISS index over inner products of unit vectors, that is, over cosines. Callable from several threads."""

    def __init__(self, index: Any, threads: int = 1) -> None:
        self._index = index
        self._threads = threads

    @classmethod
    def flat(cls, vectors: Vectors) -> "FaissIndex":
        """Exact search over `vectors`, float32 of shape (n, dimension), unit length."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index)

    @classmethod
    def read(cls, path: Path, threads: int = 1) -> "FaissIndex":
        """The index stored at `path`, mapped; raises Conflict when it cannot be read or is not over inner products."""
        index = stored(path, faiss.IO_FLAG_MMAP_IFC)
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise Conflict(f"{path.name} is not over inner products; index the passages again")
        return cls(index, threads)

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
        faiss.omp_set_num_threads(self._threads)  # OpenMP keeps the number by calling thread, so it is set at every search
        scores, positions = self._index.search(vectors, min(k, self.count))
        # an approximate index fills up with -1 where it found fewer
        return [
            [(position, score) for position, score in zip(row, row_scores, strict=True) if position >= 0]
            for row, row_scores in zip(positions.tolist(), scores.tolist(), strict=True)
        ]


def stored(path: Path, flags: int = 0) -> Any:
    """FAISS's own object at `path`; raises Conflict when it cannot be read."""
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError as error:  # FAISS raises nothing finer
        raise Conflict(f"{path.name} cannot be read; index the passages again") from error


def nearest(queries: Vectors, blocks: Iterable[tuple[int, Vectors]], k: int, progress: Callable[[int], None]) -> Positions:
    """Positions of shape (q, k) of the exact nearest among all `blocks`, which come as (position of the first, vectors)."""
    heap = faiss.ResultHeap(len(queries), k, keep_max=True)
    for start, vectors in blocks:
        products, positions = faiss.knn(queries, vectors, min(k, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
        heap.add_result(products, positions + start)
        progress(start + len(vectors))
    heap.finalize()
    found: Positions = np.asarray(heap.I)
    return found
