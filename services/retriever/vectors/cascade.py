"""Approximate search in steps: many candidates by small codes, fewer by finer vectors, the best by the finest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from services.retriever.shapes import Ranking, Vectors
from services.retriever.vectors.scalar_codes import ScalarCodes
from services.retriever.vectors.shards import Positions

AT = 10
"""The k that parameters are chosen for; a larger k takes as many more candidates."""

_LEAST_CANDIDATES = 4  # for each of the k


class Candidates(Protocol):
    """Finds positions by small codes."""

    @property
    def count(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def candidates(self, vectors: Vectors, k: int, probes: int, threads: int) -> Positions:
        """Positions of shape (q, k), best first; -1 where there are fewer."""
        ...


@dataclass(frozen=True)
class Coded:
    """A few bits a dimension: `rows`, uint8 of shape (count, codes.width), in memory."""

    rows: Any
    codes: ScalarCodes

    def products(self, positions: Positions, query: Vectors) -> Vectors:
        return self.codes.products(self.rows[positions], query)


@dataclass(frozen=True)
class Halves:
    """Half precision: `rows`, float16 of shape (count, dimension), mapped."""

    rows: Any

    def products(self, positions: Positions, query: Vectors) -> Vectors:
        products: Vectors = np.vecdot(self.rows[positions].astype(np.float32), query)
        return products


Finer = Coded | Halves


@dataclass(frozen=True)
class Depth:
    """How far a search for the best ten goes: lists scanned, candidates taken out of them, and how many of these each step keeps for the next."""

    probes: int
    candidates: int
    kept: int


class CascadeIndex:
    """`steps` order what `lists` found, each finer than the one before. Callable from several threads."""

    def __init__(self, lists: Candidates, steps: Sequence[Finer], depth: Depth, threads: int = 1) -> None:
        self._lists = lists
        self._steps = steps
        self._depth = depth
        self._threads = threads

    @property
    def count(self) -> int:
        return self._lists.count

    @property
    def dimension(self) -> int:
        return self._lists.dimension

    def at(self, depth: Depth) -> "CascadeIndex":
        """The same index searched otherwise."""
        return CascadeIndex(self._lists, self._steps, depth, self._threads)

    def search(self, vectors: Vectors, k: int) -> list[Ranking]:
        """For each row of `vectors` at most min(k, count) positions with their cosines, best first; fewer when the lists scanned hold fewer."""
        times = max(k / AT, 1.0)
        # deeper ranks lie in more lists and deeper among the candidates, though not in proportion
        wanted = min(max(int(self._depth.candidates * times**0.5), _LEAST_CANDIDATES * k), self.count)
        found = self._lists.candidates(vectors, wanted, int(self._depth.probes * times**0.25), self._threads)
        keeps = [max(int(self._depth.kept * times**0.75), k)] * (len(self._steps) - 1) + [k]
        return [self._ordered(query, row[row >= 0], keeps) for query, row in zip(vectors, found, strict=True)]

    def _ordered(self, query: Vectors, positions: Positions, keeps: Sequence[int]) -> Ranking:
        products = np.empty(0, dtype=np.float32)
        for step, keep in zip(self._steps, keeps, strict=True):
            products = step.products(positions, query)
            best = best_first(products, positions, keep)
            positions, products = positions[best], products[best]
        return list(zip(positions.tolist(), products.tolist(), strict=True))


def best_first(products: Vectors, positions: Positions, keep: int) -> Any:
    """Where the `keep` largest products lie, largest first; equal ones by position."""
    if keep < len(products):
        cut = np.partition(products, len(products) - keep)[len(products) - keep]
        inside = np.flatnonzero(products >= cut)
    else:
        inside = np.arange(len(products))
    return inside[np.lexsort((positions[inside], -products[inside]))][:keep]
