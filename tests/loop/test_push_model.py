"""Publishing an adapter or its merged weights: the card says what it is, no path of this machine goes up, and nothing unvouched does."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Method, Recipe, TrainRequest
from askback.loop.huggingface_hub_push import HuggingFaceHub
from askback.loop.push_model import push_model
from askback.loop.store import RunStore

WEIGHTS = b"weights of the adapter"
WHOLE = b"weights of the model"


class KeepingApi:
    """An `HfApi` that keeps what is uploaded, since its folder is gone afterwards."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}
        self.sent: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.made = {"repo_id": repo_id, **options}

    def upload_folder(self, folder_path: Path, allow_patterns: list[str], **options: Any) -> None:
        self.sent = options
        self.files = {name: (folder_path / name).read_bytes() for name in allow_patterns}

    @property
    def card(self) -> str:
        return self.files["README.md"].decode()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "müller" / "SmolLM2"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def store(tmp_path: Path, base: Path) -> RunStore:
    """A run with the adapter `dpo`, trained on a folder, and its merged weights."""
    store = RunStore(tmp_path / "runs", "r1")
    request = TrainRequest(run_id="r1", name="dpo", method=Method.DPO, dataset="tracks/preference.jsonl", init_adapter="adapters/direct", seed=7)
    training = {
        "job_id": "0123456789abcdef",
        "request": request.model_dump(mode="json"),
        "base_model": str(base),
        "dataset": request.dataset,
        "dataset_sha256": "d" * 64,
        "weights_sha256": sha256(WEIGHTS).hexdigest(),
        "rows": 40,
        "metrics": {"steps": 30, "first_quarter_loss": 1.23456, "last_quarter_loss": 0.5, "tokens_per_s": None},
        "losses": [{"step": 1, "loss": 1.2}],
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "commit": "c" * 40,
    }
    store.write_json("adapters/dpo/training.json", training)
    store.write_json("adapters/dpo/adapter_config.json", {"base_model_name_or_path": str(base), "r": 16})
    store.path("adapters/dpo/adapter_model.safetensors").write_bytes(WEIGHTS)
    store.path("adapters/dpo/loss.png").write_bytes(b"png")
    store.path("adapters/dpo-merged").mkdir()
    store.path("adapters/dpo-merged/model.safetensors").write_bytes(WHOLE)
    files = {"model.safetensors": {"bytes": len(WHOLE), "sha256": sha256(WHOLE).hexdigest()}}
    store.write_json("adapters/dpo-merged/merge.json", {"job_id": "0123456789abcdef", "base_model": str(base), "files": files})
    return store


def pushed(store: RunStore, adapter: str = "dpo", repo_id: str = "me/dpo", token: str = "t", **options: Any) -> KeepingApi:
    api = KeepingApi()
    push_model(store, adapter, repo_id, token, hub=lambda _: HuggingFaceHub(api), **{"base_model": "org/SmolLM2", **options})
    return api


def test_an_adapter_goes_up_with_its_card_and_without_this_machines_paths(store: RunStore, base: Path) -> None:
    api = pushed(store)
    assert api.made == {"repo_id": "me/dpo", "repo_type": "model", "private": True, "exist_ok": True}
    assert api.sent == {"repo_id": "me/dpo", "repo_type": "model", "commit_message": "Model trained by askback"}
    assert set(api.files) == {"adapter_model.safetensors", "adapter_config.json", "training.json", "loss.png", "README.md"}
    assert api.files["adapter_model.safetensors"] == WEIGHTS
    assert json.loads(api.files["adapter_config.json"]) == {"base_model_name_or_path": "org/SmolLM2", "r": 16}
    assert json.loads(api.files["training.json"])["base_model"] == "org/SmolLM2"
    assert not [name for name, content in api.files.items() if b"SmolLM2" in content and b"ller/" in content]
    assert {path.name for path in store.path("adapters").iterdir()} == {"dpo", "dpo-merged"}
    assert json.loads(store.path("adapters/dpo/training.json").read_text())["base_model"] == str(base)


def test_the_card_names_base_recipe_metrics_data_and_licences(store: RunStore) -> None:
    card = pushed(store).card
    assert card.startswith("---\nbase_model: org/SmolLM2\nbase_model_relation: adapter\nlibrary_name: peft\n")
    recipe = Recipe()
    for line in (
        "It was trained on from the adapter `direct`.",
        "| method | dpo |",
        f"| learning_rate | {recipe.learning_rate} |",
        f"| dpo_beta | {recipe.dpo_beta} |",
        "| seed | 7 |",
        "| first quarter loss | 1.235 |",
        "File `tracks/preference.jsonl`, 40 rows, SHA-256",
        "The run holds no data card, so the licence of these rows is not known here.",
        "its licence binds whoever uses them",
        "![training loss](loss.png)",
        f"Source at commit `{'c' * 40}`.",
    ):
        assert line in card
    assert "tokens per s" not in card and "## Scores" not in card


def test_the_card_tells_the_datas_licence_and_what_was_measured(store: RunStore) -> None:
    licence = {"dataset": "MIT", "id": "mit", "answers": "the teacher's answers stand under the terms of its provider"}
    store.write_json("tracks/data_card.json", {"dataset": "ChilleD/StrategyQA", "licence": licence, "teacher": {"replay": 39}})
    metric = {"name": "accuracy", "value": 0.6, "stderr": 0.03, "low": 0.53, "high": 0.66, "n": 229}
    conditions = [
        {"condition": {"adapter": adapter, "mode": "direct", "resolver": "none"}, "metrics": [metric | {"n": n}], "unparsable": 0, "failed": 0}
        for adapter, n in (("dpo", 229), ("base", 228))
    ]
    store.write_json("scores.json", {"task": "strategyqa", "n": 229, "majority": 0.53, "conditions": conditions, "comparisons": []})
    card = pushed(store).card
    assert "datasets:\n- ChilleD/StrategyQA\n" in card
    assert "Licence of the dataset: MIT; the teacher's answers stand under the terms of its provider." in card
    assert "harvested answers by teacher: replay (39)." in card
    assert "earlier run" not in card
    store.write_json("previous.json", {"run": "r0", "adapter": "direct", "sha256": "e" * 64})
    assert "Drafts and questions are those of the student `direct` of the earlier run `r0`." in pushed(store).card
    assert "| direct | none | accuracy | 0.600 | 0.530 to 0.660 | 229 |" in card and "| 228 |" not in card


def test_merged_weights_go_up_with_their_manifest(store: RunStore) -> None:
    api = pushed(store, merged=True, private=False)
    assert api.made["private"] is False
    assert set(api.files) == {"model.safetensors", "merge.json", "loss.png", "README.md"}
    assert api.files["model.safetensors"] == WHOLE
    assert json.loads(api.files["merge.json"])["base_model"] == "org/SmolLM2"
    assert "base_model_relation: merge\nlibrary_name: transformers\n" in api.card
    assert "a LoRA adapter merged into them" in api.card


def test_a_base_that_the_hub_has_needs_no_name(store: RunStore, base: Path) -> None:
    with pytest.raises(InvalidInput, match="base_model: the adapter was trained on 'SmolLM2', a folder of this machine; give its name on the hub"):
        pushed(store, base_model="")
    training = json.loads(store.path("adapters/dpo/training.json").read_text())
    store.write_json("adapters/dpo/training.json", training | {"base_model": "org/hub-name"})
    assert "base_model: org/hub-name\n" in pushed(store, base_model="").card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repo_id": "dpo"}, "repo_id: 'dpo' is not OWNER/NAME"),
        ({"token": ""}, "HF_TOKEN"),
        ({"adapter": "cot"}, "adapter 'cot': no finished one in run r1"),
        ({"adapter": "../dpo"}, "adapter: '../dpo' is not an adapter's name"),
    ],
)
def test_what_is_missing_is_named(store: RunStore, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        pushed(store, **options)


def test_weights_that_are_not_their_manifests_stay_here(store: RunStore) -> None:
    store.path("adapters/dpo/adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(InvalidInput, match=r"adapters/dpo/adapter_model.safetensors is not the file of its training.json"):
        pushed(store)
    store.path("adapters/dpo-merged/model.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"adapters/dpo-merged/model.safetensors is not the file of its merge.json"):
        pushed(store, merged=True)
    store.path("adapters/dpo-merged/merge.json").unlink()
    with pytest.raises(InvalidInput, match="not merged yet"):
        pushed(store, merged=True)
