"""Start the retriever: settings from the environment.

The embedder is loaded first, so that a service that answers can search at once; with EMBEDDER_LOAD=first-use it waits for the
first text.
"""

import logging
import os
import sys
from pathlib import Path

from askback.contracts.errors import InvalidInput, ServiceError
from services.retriever.app import create_app
from services.retriever.embedder import Embedder
from services.retriever.lazy_embedder import LazyEmbedder
from services.retriever.library import Library
from services.retriever.sentence_transformers_embedder import load_embedder
from services.retriever.store import IndexStore
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
        embedder = _embedder()
    except ServiceError as error:
        sys.stderr.write(f"retriever: {error}\n")
        raise SystemExit(2) from None
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG and remarks on every query without words
    serve(create_app(Library(IndexStore(root.resolve()), embedder)), 8003)


if __name__ == "__main__":
    main()
