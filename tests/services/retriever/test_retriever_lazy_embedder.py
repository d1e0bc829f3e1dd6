from concurrent.futures import ThreadPoolExecutor

import pytest
from hashing_embedder import HashingEmbedder

from askback.contracts.errors import InvalidInput
from services.retriever.embedding.embedder import Embedder
from services.retriever.embedding.lazy_embedder import LazyEmbedder


def test_it_loads_once_and_only_when_it_is_needed() -> None:
    loads = []

    def load() -> Embedder:
        loads.append(1)
        return HashingEmbedder("model@1")

    lazy = LazyEmbedder(load)
    assert loads == []
    with ThreadPoolExecutor(8) as pool:
        assert {vectors.shape for vectors in pool.map(lazy.encode, [["a cat"]] * 16)} == {(1, 64)}
    assert (lazy.identity, lazy.query_prefix, loads) == ("model@1", "", [1])


def test_a_failed_load_is_told_and_tried_again() -> None:
    answers: list[Embedder | None] = [None, HashingEmbedder()]

    def load() -> Embedder:
        answer = answers.pop(0)
        if answer is None:
            raise InvalidInput("EMBEDDER: no such model")
        return answer

    lazy = LazyEmbedder(load)
    with pytest.raises(InvalidInput, match="no such model"):
        lazy.encode(["a"])
    assert lazy.encode(["a"]).shape == (1, 64)
