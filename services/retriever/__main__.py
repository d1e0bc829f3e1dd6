"""Start the retriever: settings from the environment. The embedder is loaded first, so a service that answers can search."""

import logging
import os
import sys
from pathlib import Path

from askback.contracts.errors import ServiceError
from services.retriever.app import create_app
from services.retriever.library import Library
from services.retriever.sentence_transformers_embedder import load_embedder
from services.retriever.store import IndexStore
from services.serving import serve


def main() -> None:
    root = Path(os.environ.get("INDEX_DIR") or Path(os.environ.get("ASKBACK_HOME") or "var") / "index")
    try:
        embedder = load_embedder(os.environ)
    except ServiceError as error:
        sys.stderr.write(f"retriever: {error}\n")
        raise SystemExit(2) from None
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG and remarks on every query without words
    serve(create_app(Library(IndexStore(root.resolve()), embedder)), 8003)


if __name__ == "__main__":
    main()
