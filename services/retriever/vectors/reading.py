"""A built index of vectors, opened for searching."""

import mmap
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from askback.contracts.errors import Conflict
from services.retriever.vectors.cascade import CascadeIndex, Coded, Depth, Finer, Halves
from services.retriever.vectors.facts import VectorFacts, check_files
from services.retriever.vectors.faiss_index import FaissIndex
from services.retriever.vectors.faiss_lists import FaissLists
from services.retriever.vectors.protocol import VectorIndex
from services.retriever.vectors.scalar_codes import Bits, ScalarCodes
from services.retriever.vectors.settings import Layout

EXACT, LISTS, RANGES, CODES, HALVES = "exact.faiss", "lists.faiss", "ranges.npy", "codes.u8", "halves.f16"
_POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14, which Python has no name for
FILES = {
    Layout.EXACT: (EXACT,),
    Layout.MEMORY: (LISTS, RANGES, CODES),
    Layout.DISK: (LISTS, RANGES, CODES, HALVES),
    Layout.SMALL: (LISTS, HALVES),
}
"""What an index of each layout consists of."""


def read(folder: Path, facts: VectorFacts, threads: int = 1) -> VectorIndex:
    """The index that `build` made in `folder`; raises Conflict when a file is missing, cut, or not what `facts` say."""
    check_files(folder, facts)
    if facts.tuned is None:
        exact = FaissIndex.read(folder / EXACT, threads)
        _check(EXACT, (exact.count, exact.dimension), facts)
        return exact
    depth = Depth(facts.tuned.probes, facts.tuned.candidates, facts.tuned.kept)
    index = open_cascade(folder, facts.layout, facts.bits, facts.count, depth, threads)
    _check(LISTS, (index.count, index.dimension), facts)
    return index


def open_cascade(folder: Path, layout: Layout, bits: Bits, count: int, depth: Depth, threads: int) -> CascadeIndex:
    """The approximate index of `layout` in `folder`. All but the lists is mapped: the system may take it back, and a reload holds it once."""
    lists = FaissLists.read(folder / LISTS)
    steps: list[Finer] = []
    if CODES in FILES[layout]:
        low, step = np.load(folder / RANGES, allow_pickle=False)
        codes = ScalarCodes(low, step, bits)
        # read in whole, because a query touches it in hundreds of places
        steps.append(Coded(_mapped(folder / CODES, np.uint8, count, codes.width, _POPULATE_READ), codes))
    if HALVES in FILES[layout]:
        steps.append(Halves(_mapped(folder / HALVES, np.float16, count, lists.dimension, mmap.MADV_RANDOM)))
    return CascadeIndex(lists, steps, depth, threads)


def _mapped(path: Path, dtype: Any, count: int, width: int, advice: int) -> Any:
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with suppress(OSError):  # only advice: an older kernel does without
        mapped.madvise(advice)
    return np.frombuffer(mapped, dtype=dtype).reshape(count, width)


def _check(name: str, shape: tuple[int, int], facts: VectorFacts) -> None:
    if shape != (facts.count, facts.dimension):
        said = f"{facts.count} of {facts.dimension}"
        raise Conflict(f"{name} holds {shape[0]} vectors of {shape[1]} dimensions, the manifest says {said}; index the passages again")
