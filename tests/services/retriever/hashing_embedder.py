"""An embedder without a model: words counted in hashed columns, then scaled to unit length."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from askback.contracts.records import Passage
from services.retriever.shapes import Vectors

DIMENSION = 64


class HashingEmbedder:
    def __init__(self, identity: str = "hashing@1", dimension: int = DIMENSION) -> None:
        self.identity = identity
        self.query_prefix = ""
        self.passage_prefix = ""
        self.dimension = dimension
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.seen += texts
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(".", " ").replace("?", " ").split():
                vectors[row, crc32(word.encode()) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def passage(title: str, *sentences: str) -> Passage:
    return Passage(id=title, title=title, sentences=list(sentences))


ANIMALS = [
    passage("Cat", "Cats purr and hunt mice.", " They sleep most of the day."),
    passage("Dog", "Dogs bark loudly and guard houses."),
    passage("Whale", "Whales sing under water."),
    passage("Eagle", "Eagles see mice from far above."),
]
