"""What every engine of vectors offers to a search."""

from typing import Protocol

from services.retriever.shapes import Ranking, Vectors


class VectorIndex(Protocol):
    """Unit vectors by position, searched by cosine. Callable from several threads."""

    @property
    def count(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def search(self, vectors: Vectors, k: int) -> list[Ranking]:
        """For each row of `vectors`, of shape (q, dimension), at most min(k, count) positions with their cosines, best first."""
        ...
