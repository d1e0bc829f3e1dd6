"""FAISS's plain indexes, searched as ours is: one query at a time on one thread."""

import resource
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from benchmarks.command_line import say
from benchmarks.retriever_vectors import Vectors
from services.retriever.shapes import Ranking

HNSW_EF = (64, 128, 256)
Search = Callable[[Vectors], list[Ranking]]


@dataclass(frozen=True)
class Figures:
    """`per_cpu_s` is queries a second of processor time on one core; latencies are of the clock, with whatever else the machine does."""

    recall: float
    per_cpu_s: float
    cpu_p50_ms: float
    p50_ms: float
    p99_ms: float


def flat(blocks: Iterable[Vectors], dimension: int) -> Any:
    return _filled(faiss.IndexFlatIP(dimension), blocks)


def hnsw(blocks: Iterable[Vectors], dimension: int) -> Any:
    return _filled(faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT), blocks)


def searched(index: Any, k: int, ef: int = 0) -> Search:
    """`index` behind the interface of ours; `ef` is HNSW's."""

    def search(vectors: Vectors) -> list[Ranking]:
        faiss.omp_set_num_threads(1)
        if ef:
            index.hnsw.efSearch = ef
        scores, positions = index.search(vectors, k)
        return [list(zip(*pair, strict=True)) for pair in zip(positions.tolist(), scores.tolist(), strict=True)]

    return search


def measure(searches: Mapping[str, Search], queries: Vectors, exact: Any, rounds: int, slow: frozenset[str], slow_queries: int) -> dict[str, Figures]:
    """All searches in turn over parts of the queries, so that all of them meet the same machine. The `slow` ones answer the first queries alone."""
    seen: dict[str, list[tuple[int, float, float, float]]] = {name: [] for name in searches}
    for name, search in searches.items():
        search(queries[:3] if name in slow else queries)  # what is mapped is in memory afterwards
    for part in np.array_split(np.arange(len(queries)), rounds):
        for name, search in searches.items():
            seen[name] += [
                _one(search, queries, exact, int(number)) for number in part if name not in slow or number % (len(queries) // slow_queries) == 0
            ]
    return {name: _figures(rows) for name, rows in seen.items()}


def peak_gb() -> float:
    """The most memory that this process ever held, in 10⁹ bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _filled(index: Any, blocks: Iterable[Vectors]) -> Any:
    for block in blocks:
        index.add(block)
        say(f"{type(index).__name__}: {index.ntotal} vectors")
    return index


def _one(search: Search, queries: Vectors, exact: Any, number: int) -> tuple[int, float, float, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    found = search(queries[number : number + 1])[0]
    spent = time.process_time() - cpu, time.perf_counter() - clock
    return number, len({position for position, _ in found}.intersection(exact[number].tolist())) / exact.shape[1], *spent


def _figures(rows: list[tuple[int, float, float, float]]) -> Figures:
    recall, cpu, clock = np.array([row[1:] for row in rows]).T
    return Figures(
        float(recall.mean()), float(1 / cpu.mean()), float(np.median(cpu) * 1e3), float(np.median(clock) * 1e3), float(np.quantile(clock, 0.99) * 1e3)
    )
