"""A second opinion on the best passages by a model that reads question and passage together."""

from collections.abc import Sequence
from typing import Protocol

from askback.contracts.retriever import Hit
from services.retriever.corpora.passages import indexed_text

DEPTH = 50
"""Passages that are read again; a cross-encoder takes tens of milliseconds for each on a CPU."""


class Reranker(Protocol):
    """Scores texts for a query; a higher score is better. Callable from several threads."""

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score for each of `texts`, which may be none."""
        ...


def reranked(reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """`hits` in the order and with the scores of `reranker`; ties keep their order."""
    scores = reranker.scores(query, [indexed_text(hit.passage) for hit in hits])
    rescored = [hit.model_copy(update={"score": score}) for hit, score in zip(hits, scores, strict=True)]
    return sorted(rescored, key=lambda hit: -hit.score)
