"""A build as a process of its own, so that it can be killed: `python killed_build.py ROOT CORPUS`."""

import sys
from pathlib import Path

from hashing_embedder import HashingEmbedder

from services.retriever.building.__main__ import build
from services.retriever.corpora.jsonl import Jsonl
from services.retriever.storage.store import IndexStore
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.settings import VectorSettings

if __name__ == "__main__":
    root, corpus = Path(sys.argv[1]), Path(sys.argv[2])
    # lists from 2,000 passages on, so that every stage of an approximate index is passed through
    settings = VectorSettings(exact_below=2000, held_out=20, block=1000, build_threads=1, memory_gb=1)
    build(IndexStore(root), "made", Jsonl(corpus), 0, HashingEmbedder(), VectorEngine(settings))
