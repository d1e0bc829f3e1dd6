"""Publish an adapter of a run, or the model that it was merged into, with its card on the hub."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import Scores
from askback.contracts.measures import ConditionScore
from askback.loop.huggingface_hub_push import connect
from askback.loop.model_card import CardFacts, markdown
from askback.loop.previous import FILE as PREVIOUS_STUDENT
from askback.loop.push import Hub, check_target
from askback.loop.store import RunStore, file_sha256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WEIGHTS = "adapter_model.safetensors"


def push_model(
    store: RunStore,
    adapter: str,
    repo_id: str,
    token: str,
    *,
    base_model: str = "",
    merged: bool = False,
    private: bool = True,
    hub: Callable[[str], Hub] = connect,
) -> None:
    """Upload `adapters/<adapter>` of the run, or with `merged` its merged weights, to the model `repo_id` (OWNER/NAME).

    `base_model` is the base's name on the hub, needed where the adapter was trained on a folder, and written in that folder's place
    into everything that goes up. A model that is made by it is private unless told otherwise. Raises InvalidInput when the token,
    the adapter or the base's name is missing, or when the weights are not those of their manifest.
    """
    check_target(repo_id, token)
    if not _NAME.fullmatch(adapter):
        raise InvalidInput(f"adapter: {adapter!r} is not an adapter's name; give that of a folder in the run's adapters/")
    source = store.path("adapters", f"{adapter}-merged" if merged else adapter)
    training = _read(store.path("adapters", adapter) / "training.json", f"adapter {adapter!r}: no finished one in run {store.run_id}; train it first")
    files = _whole_files(source, adapter) if merged else _adapter_files(source, training)
    name = _hub_name(base_model, str(training["base_model"]))
    data, earlier = _read(store.path("tracks", "data_card.json")), _read(store.path(PREVIOUS_STUDENT))
    card = CardFacts(adapter, name, merged, training, data, _scores(store, adapter), earlier)
    with tempfile.TemporaryDirectory(prefix=".push-", dir=store.path("adapters")) as made:
        staged = Path(made)
        for file in files:
            _stage(source / file, staged / file, str(training["base_model"]), name)
        if merged and (store.path("adapters", adapter) / "loss.png").is_file():
            _stage(store.path("adapters", adapter) / "loss.png", staged / "loss.png", "", "")
        (staged / "README.md").write_text(markdown(card), encoding="utf-8")
        hub(token).upload(repo_id, staged, sorted(path.name for path in staged.iterdir()), private, kind="model")


def _hub_name(given: str, trained_on: str) -> str:
    if given:
        return given
    if Path(trained_on).exists() or trained_on.count("/") != 1 or trained_on.startswith((".", "/", "~")):
        raise InvalidInput(f"base_model: the adapter was trained on {Path(trained_on).name!r}, a folder of this machine; give its name on the hub")
    return trained_on


def _adapter_files(folder: Path, training: Mapping[str, Any]) -> list[str]:
    files = [_WEIGHTS, "adapter_config.json", "training.json", *(["loss.png"] if (folder / "loss.png").is_file() else [])]
    wanted = training.get("weights_sha256")
    if wanted is None:
        raise InvalidInput(f"adapter {folder.name!r}: its training.json knows no weights_sha256, so it cannot be vouched for; train it again")
    _check(folder, {_WEIGHTS: str(wanted)}, "training.json")
    return files


def _whole_files(folder: Path, adapter: str) -> list[str]:
    record = _read(folder / "merge.json", f"adapter {adapter!r}: not merged yet; `askback merge RUN {adapter}` does it")
    _check(folder, {name: str(facts["sha256"]) for name, facts in record["files"].items()}, "merge.json")
    return [*record["files"], "merge.json"]


def _check(folder: Path, digests: Mapping[str, str], record: str) -> None:
    for name, wanted in digests.items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != wanted:
            raise InvalidInput(f"adapters/{folder.name}/{name} is not the file of its {record}; make it again")


def _stage(source: Path, target: Path, folder: str, name: str) -> None:
    """The file where it is uploaded from: a link, but for JSON that holds the base's `folder`, whose place `name` takes."""
    if source.suffix == ".json":
        content = json.loads(source.read_text(encoding="utf-8"))
        renamed = _renamed(content, folder, name)
        if renamed != content:
            target.write_text(json.dumps(renamed, indent=1), encoding="utf-8")
            return
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _renamed(value: Any, folder: str, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner, folder, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, folder, name) for inner in value]
    return name if value == folder else value


def _scores(store: RunStore, adapter: str) -> list[ConditionScore]:
    path = store.path("scores.json")
    if not path.is_file():
        return []
    try:
        scores = Scores.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidInput(f"{path}: not this version's scores ({error.error_count()} errors); score the run again") from error
    return [score for score in scores.conditions if score.condition.adapter == adapter]


def _read(path: Path, missing: str = "") -> dict[str, Any]:
    """A JSON file's content; without the file raises InvalidInput that says `missing`, or is empty when that is."""
    if not path.is_file():
        if missing:
            raise InvalidInput(missing)
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
