"""An embedder that is loaded when the first text comes, for machines where most runs never retrieve."""

from collections.abc import Callable, Sequence
from threading import Lock

from services.retriever.embedding.embedder import Embedder
from services.retriever.shapes import Vectors


class LazyEmbedder:
    """Loads once, whoever comes first; an error of the loading is raised to each caller until it succeeds."""

    def __init__(self, load: Callable[[], Embedder]) -> None:
        self._load = load
        self._loaded: Embedder | None = None
        self._loading = Lock()

    @property
    def identity(self) -> str:
        return self._embedder().identity

    @property
    def query_prefix(self) -> str:
        return self._embedder().query_prefix

    @property
    def passage_prefix(self) -> str:
        return self._embedder().passage_prefix

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._embedder().encode(texts)

    def _embedder(self) -> Embedder:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded
