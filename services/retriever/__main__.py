"""Start the retriever: settings from the environment.

The embedder is loaded first, so that a service that answers can search at once; with EMBEDDER_LOAD=first-use it waits for the
first text.
"""

import os
import sys
from pathlib import Path

from askback.contracts.errors import InvalidInput, ServiceError
from services.retriever.app import create_app
from services.retriever.embedding.embedder import Embedder
from services.retriever.embedding.lazy_embedder import LazyEmbedder
from services.retriever.embedding.sentence_transformers_embedder import load_embedder
from services.retriever.library import Library
from services.retriever.prometheus_metrics import PrometheusMetrics
from services.retriever.searching.sentence_transformers_reranker import load_reranker
from services.retriever.storage.store import IndexStore
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.qdrant_settings import QdrantSettings
from services.retriever.vectors.settings import VectorSettings
from services.serving import serve


def _embedder() -> Embedder:
    when = os.environ.get("EMBEDDER_LOAD") or "start"
    if when == "first-use":
        return LazyEmbedder(lambda: load_embedder(os.environ))
    if when != "start":
        raise InvalidInput(f"EMBEDDER_LOAD: {when!r} is neither start nor first-use")
    return load_embedder(os.environ)


def main() -> None:
    root = Path(os.environ.get("INDEX_DIR") or Path(os.environ.get("ASKBACK_HOME") or "var") / "index")
    try:
        engine = VectorEngine(VectorSettings.from_environment(os.environ), QdrantSettings.from_environment(os.environ))
        embedder, reranker = _embedder(), load_reranker(os.environ)
    except ServiceError as error:
        sys.stderr.write(f"retriever: {error}\n")
        raise SystemExit(2) from None
    library = Library(IndexStore(root.resolve()), embedder, engine, reranker)
    serve(create_app(library, PrometheusMetrics(library.sizes)), 8003)


if __name__ == "__main__":
    main()
