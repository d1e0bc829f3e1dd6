"""Inverted lists of four-bit codes: FAISS finds the candidates among which finer vectors choose."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from askback.contracts.errors import Conflict
from services.retriever.shapes import Vectors
from services.retriever.vectors.faiss_index import stored
from services.retriever.vectors.shards import Positions

Codes = npt.NDArray[np.uint8]
ListNumbers = npt.NDArray[np.int64]
_QUERY_BY_QUERY = 11


class FaissLists:
    """Codes in memory, scanned list by list in blocks that fit the processor's registers ("fast scan")."""

    def __init__(self, index: Any) -> None:
        self._index = index
        # query by query: FAISS's own choice reorders the lists for batches, which takes a tenth longer for one query
        self._index.implem = _QUERY_BY_QUERY

    @classmethod
    def read(cls, path: Path) -> "FaissLists":
        """Raises Conflict when `path` is not such an index."""
        index = stored(path)
        if not isinstance(index, faiss.IndexIVFPQFastScan) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise Conflict(f"{path.name} holds {type(index).__name__}, not lists of four-bit codes; index the passages again")
        return cls(index)

    @property
    def count(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def lists(self) -> int:
        return int(self._index.nlist)

    def candidates(self, vectors: Vectors, k: int, probes: int, threads: int) -> Positions:
        """Positions of shape (q, k), best first by their codes; -1 where `probes` lists hold fewer."""
        faiss.omp_set_num_threads(threads)  # OpenMP keeps the number by calling thread, so it is set at every search
        settings = faiss.IVFSearchParameters()
        settings.nprobe = min(probes, self.lists)
        found: Positions = self._index.search(vectors, k, params=settings)[1]
        return found


def encode(trained: Any, vectors: Vectors, threads: int) -> tuple[ListNumbers, Codes]:
    """The list of each vector and its code, of shape (n, subquantisers / 2)."""
    faiss.omp_set_num_threads(threads)
    lists: ListNumbers = trained.quantizer.assign(vectors, 1).ravel()
    codes = np.empty((len(vectors), trained.code_size), dtype=np.uint8)
    vectors = np.ascontiguousarray(vectors)
    trained.encode_vectors(len(vectors), faiss.swig_ptr(vectors), faiss.swig_ptr(lists), faiss.swig_ptr(codes))
    return lists, codes


def write_trained(trained: Any, path: Path) -> None:
    faiss.write_index(trained, str(path))


def read_trained(path: Path) -> Any:
    return faiss.read_index(str(path))


def pack(trained: Any, lists: ListNumbers, codes: Codes, path: Path) -> None:
    """Write the index that `FaissLists.read` reads: position i goes to list `lists[i]` with code `codes[i]`."""
    order = np.argsort(lists, kind="stable")
    starts = np.searchsorted(lists[order], np.arange(trained.nlist + 1))
    for number in range(trained.nlist):
        positions = order[starts[number] : starts[number + 1]].astype(np.int64)
        if len(positions):
            entries = np.ascontiguousarray(codes[positions])
            trained.invlists.add_entries(number, len(positions), faiss.swig_ptr(positions), faiss.swig_ptr(entries))
    trained.ntotal = len(lists)
    faiss.write_index(faiss.IndexIVFPQFastScan(trained), str(path))
