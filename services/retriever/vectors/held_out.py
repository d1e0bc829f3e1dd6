"""Queries that were not indexed, and what exact search finds for them: the measure of an approximate index."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from askback.contracts.errors import InvalidInput
from services.retriever.shapes import Ranking, Vectors
from services.retriever.vectors.faiss_index import nearest
from services.retriever.vectors.shards import Positions, Shards, sample

Source = Literal["given queries", "perturbed passages"]
_COSINE = 0.66
"""Of a perturbed passage with its passage: about as near as a question is to the paragraph that answers it."""


@dataclass(frozen=True)
class HeldOut:
    """`queries` of shape (q, dimension) and the positions of their exact nearest, of shape (q, k)."""

    queries: Vectors
    exact: Positions

    def recalls(self, rankings: list[Ranking]) -> npt.NDArray[np.float64]:
        """For each query the share of its exact nearest that its ranking holds."""
        pairs = zip(rankings, self.exact.tolist(), strict=True)
        return np.array([len({position for position, _ in ranking}.intersection(exact)) / len(exact) for ranking, exact in pairs])

    def halves(self) -> "tuple[HeldOut, HeldOut]":
        """Every other query to either half."""
        return HeldOut(self.queries[::2], self.exact[::2]), HeldOut(self.queries[1::2], self.exact[1::2])


def held_out_queries(shards: Shards, given: Path | None, queries: int, seed: int) -> tuple[Vectors, Source]:
    """At most `queries` queries: of the .npy `given`, or perturbed passages. Raises InvalidInput for a file that does not fit."""
    if given:
        return _given(given, queries, shards.dimension, seed), "given queries"
    return perturbed(shards, queries, seed), "perturbed passages"


def with_exact(queries: Vectors, shards: Shards, k: int, block: int, progress: Callable[[int, int], None]) -> HeldOut:
    """`queries` with what exact search finds for them, block by block."""
    return HeldOut(queries, nearest(queries, shards.blocks(block), min(k, shards.count), lambda done: progress(done, shards.count)))


def perturbed(shards: Shards, queries: int, seed: int) -> Vectors:
    """Passages moved along differences of other passages, so that a query leaves its passage in directions that texts differ in."""
    drawn = [shards.rows(sample(shards.count, queries, seed + offset)) for offset in range(3)]
    generator = np.random.default_rng(seed)
    passages, some, others = (rows[generator.permutation(len(rows))] for rows in drawn)
    away = some - others
    away -= np.vecdot(away, passages)[:, None] * passages
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    moved = _COSINE * passages + (1 - _COSINE**2) ** 0.5 * away
    return np.ascontiguousarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)


def _given(path: Path, queries: int, dimension: int, seed: int) -> Vectors:
    rows = Shards([path])
    if rows.dimension != dimension or rows.count < 2:
        raise InvalidInput(f"queries: {path.name} holds {rows.count} of {rows.dimension} dimensions; at least 2 of {dimension} are needed")
    return np.ascontiguousarray(rows.rows(sample(rows.count, queries, seed)))
