from collections.abc import Sequence
from pathlib import Path

import pytest
from hashing_embedder import ANIMALS, HashingEmbedder

from askback.contracts.errors import InvalidInput
from askback.contracts.retriever import IndexRequest, MultihopRequest, SearchRequest
from services.retriever.library import Library
from services.retriever.searching.sentence_transformers_reranker import load_reranker
from services.retriever.storage.store import IndexStore


class ShortestFirst:
    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        return [-float(len(text)) for text in texts]


def test_the_best_are_ordered_again_before_k_of_them_are_taken(tmp_path: Path) -> None:
    library = Library(IndexStore(tmp_path), HashingEmbedder(), reranker=ShortestFirst())
    library.put(IndexRequest(name="default", passages=ANIMALS))
    hits = library.search(SearchRequest(query="cats hunt", k=2, rerank=True)).hits[0]
    assert [(hit.passage.title, hit.score) for hit in hits] == [("Whale", -31.0), ("Eagle", -38.0)]
    assert library.search(SearchRequest(query="cats hunt", k=1)).hits[0][0].passage.title == "Cat"
    assert [hit.passage.title for hit in library.multihop(MultihopRequest(question="cats hunt", k=1, rerank=True)).hits] == ["Whale"]


def test_no_model_is_loaded_unless_one_is_named() -> None:
    assert load_reranker({}) is None


@pytest.mark.e2e
def test_a_models_folder_is_loaded_and_scores_pairs(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "purr", "bark", "s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    reranker = load_reranker({"RERANKER": str(tmp_path)})
    assert reranker
    scores = reranker.scores("cat", ["cat purr", "dog bark bark", "cat"])
    assert len(scores) == 3
    assert scores == pytest.approx([reranker.scores("cat", [text])[0] for text in ("cat purr", "dog bark bark", "cat")], abs=1e-4)
    assert reranker.scores("cat", []) == []


@pytest.mark.e2e
def test_a_model_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"RERANKER: .* cannot be loaded"):
        load_reranker({"RERANKER": str(tmp_path)})
