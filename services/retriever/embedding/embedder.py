"""What turns texts into vectors, as the rest of the service sees it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from askback.contracts.errors import UpstreamRejected
from services.retriever.shapes import Vectors

BATCH = 16
"""Texts per call: a search that arrives during a build waits for one such batch at most."""

_UNIT_TOLERANCE = 1e-3


class Embedder(Protocol):
    """Embeds texts. `identity` names the model with its revision or hash: equal identities give comparable vectors."""

    @property
    def identity(self) -> str: ...

    @property
    def query_prefix(self) -> str: ...

    @property
    def passage_prefix(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, float32 of shape (len(texts), dimension). Callable from several threads."""
        ...


def embed_queries(embedder: Embedder, queries: Sequence[str]) -> Vectors:
    """Vectors to search with, of shape (len(queries), dimension)."""
    return _embed(embedder, [embedder.query_prefix + query for query in queries], BATCH)


def embed_passages(embedder: Embedder, texts: Sequence[str], batch: int = BATCH) -> Vectors:
    """Vectors to index, of shape (len(texts), dimension), `batch` texts at a time."""
    return _embed(embedder, [embedder.passage_prefix + text for text in texts], batch)


def _embed(embedder: Embedder, texts: Sequence[str], batch: int) -> Vectors:
    # texts of like length share a batch, because a model computes every text of a batch as long as the longest
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    batches = [embedder.encode([texts[row] for row in order[start : start + batch]]) for start in range(0, len(texts), batch)]
    vectors = np.concatenate(batches)[np.argsort(order)]
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(texts):
        raise UpstreamRejected(f"embedder {embedder.identity} gave {vectors.dtype} of shape {vectors.shape} for {len(texts)} texts, not float32 rows")
    norms = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1.0) < _UNIT_TOLERANCE))  # a NaN is bad too
    if bad.size:
        raise UpstreamRejected(f"embedder {embedder.identity} gave a vector of length {norms[bad[0]]:.4g} for text {bad[0]}; unit vectors are needed")
    return vectors
