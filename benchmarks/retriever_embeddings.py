"""Embeddings of real paragraphs and questions, of which the benchmark's vectors are made."""

import json
import os
from pathlib import Path

import numpy as np

from benchmarks.command_line import BenchmarkFailed, say
from benchmarks.retriever_vectors import Vectors
from services.retriever.embedding.embedder import embed_passages, embed_queries
from services.retriever.embedding.sentence_transformers_embedder import load_embedder

_PARAGRAPHS, _QUESTIONS = 6000, 500


def real_embeddings(corpus: Path, cache: Path) -> tuple[Vectors, Vectors]:
    """Unit vectors of the paragraphs and of the questions in `corpus`, a file in HotpotQA's format; kept in the folder `cache`."""
    kept = cache / f"{corpus.stem}.npz"
    if not kept.exists():
        paragraphs, questions = _texts(corpus)
        say(f"embedding {len(paragraphs)} paragraphs and {len(questions)} questions of {corpus}: minutes")
        embedder = load_embedder(os.environ)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, passages=embed_passages(embedder, paragraphs), questions=embed_queries(embedder, questions))
    with np.load(kept, allow_pickle=False) as arrays:
        return arrays["passages"], arrays["questions"]


def _texts(corpus: Path) -> tuple[list[str], list[str]]:
    try:
        rows = json.loads(corpus.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkFailed(f"--corpus: {corpus} cannot be read ({error})") from error
    paragraphs = {title: f"{title}. {''.join(sentences)}" for row in rows for title, sentences in row["context"]}
    return list(paragraphs.values())[:_PARAGRAPHS], [row["question"] for row in rows][:_QUESTIONS]
