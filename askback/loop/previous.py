"""The student that an earlier run promoted: it drafts and asks in this run's harvest, and its conditions are named `previous`."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from askback.contracts.client import StudentClient
from askback.contracts.errors import InvalidInput
from askback.contracts.records import Record
from askback.contracts.student import BASE, PREVIOUS
from askback.loop.config import RunConfig, load_config
from askback.loop.evaluate import load_adapters
from askback.loop.promote import Promotion
from askback.loop.store import RunStore, file_sha256

FILE = "previous.json"
_DECISIONS = ("choice.json", "promotion.json")
"""The decision on held-out rows goes before the one on dev, which is read at the very end alone."""

R = TypeVar("R", bound=Record)


class PreviousStudent(Record):
    """Whose student asks. Kept in the run's folder as `FILE` from the first question on."""

    run: str
    """The run that trained it: the one that the configuration names, or an earlier one whose student that run kept."""
    adapter: str
    """Adapter of that run, or `base`."""
    sha256: str = ""
    """Of its weights; empty for `base`."""

    def __str__(self) -> str:
        return f"{self.run}/{self.adapter}" + (f" (weights {self.sha256[:6]})" if self.sha256 else "")


def previous_student(config: RunConfig, store: RunStore) -> PreviousStudent | None:
    """The student that the run `config.previous` promoted; None where none is named. Nothing is asked and nothing is written.

    Raises InvalidInput when that run is absent, of another task or base model, or has decided nothing, when the weights are gone, and
    when this run was begun with another student.
    """
    if not config.previous:
        return None
    found = _promoted(config, store)
    if store.path(FILE).is_file():
        kept = _read(store.path(FILE), PreviousStudent)
        if kept != found:
            raise InvalidInput(f"previous: run {store.run_id} was begun with {kept}, and {config.previous} promotes {found} now; give a new --id")
    return found


async def load_previous(config: RunConfig, store: RunStore, student: StudentClient) -> str:
    """Load the previous student into the running engine and keep in the run whose it is.

    Returns the name that it is served under; without `config.previous` that is `base`, whatever adapter the student service promotes now.
    Raises InvalidInput as `previous_student` does, and when the engine cannot serve it.
    """
    found = previous_student(config, store)
    if found is None:
        return BASE
    names = await load_adapters(_beside(store, found.run), [found.adapter] if found.adapter != BASE else [], student)
    store.write_text(FILE, found.model_dump_json(indent=1) + "\n")
    return names[found.adapter]


def _promoted(config: RunConfig, store: RunStore) -> PreviousStudent:
    earlier = _beside(store, config.previous)
    if earlier.run_id == store.run_id:
        raise InvalidInput(f"previous: run {store.run_id} cannot start from itself; give a new --id, or the run before it")
    if not earlier.path("config.toml").is_file():
        raise InvalidInput(f"previous: no run {earlier.run_id!r} in {earlier.folder.parent}; `ls {earlier.folder.parent}` shows the runs")
    _check_alike(config, earlier)
    decided = next((path for name in _DECISIONS if (path := earlier.path(name)).is_file()), None)
    if decided is None:
        raise InvalidInput(f"previous: run {earlier.run_id} has promoted nothing yet; bring it to its end first, with `--id {earlier.run_id}`")
    adapter = _read(decided, Promotion).adapter
    if adapter != PREVIOUS:
        return _with_weights(earlier, adapter)
    kept = _read(earlier.path(FILE), PreviousStudent)
    found = _with_weights(_beside(store, kept.run), kept.adapter)
    if found != kept:
        raise InvalidInput(f"previous: run {earlier.run_id} kept the student {kept}, and {kept.run} has {found} now; train {earlier.run_id} again")
    return found


def _check_alike(config: RunConfig, earlier: RunStore) -> None:
    other = load_config(earlier.path("config.toml"))
    if other.task != config.task:
        raise InvalidInput(f"previous: run {earlier.run_id} is of task {other.task!r}, this one of {config.task!r}; name a run of the same task")
    if config.base_model and other.base_model and other.base_model != config.base_model:
        models = f"{other.base_model!r}, this one {config.base_model!r}"
        raise InvalidInput(f"previous: run {earlier.run_id} has base_model {models}; name a run of the same base model")


def _with_weights(run: RunStore, adapter: str) -> PreviousStudent:
    if adapter == BASE:
        return PreviousStudent(run=run.run_id, adapter=BASE)
    weights = run.path("adapters", adapter, "adapter_model.safetensors")
    try:
        return PreviousStudent(run=run.run_id, adapter=adapter, sha256=file_sha256(weights))
    except OSError as error:
        raise InvalidInput(f"previous: run {run.run_id} promoted {adapter!r}, and {weights} cannot be read; bring it back") from error


def _beside(store: RunStore, run_id: str) -> RunStore:
    return RunStore(store.folder.parent, run_id)


def _read(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise InvalidInput(f"previous: {path} is no readable {kind.__name__}; do the stage that writes it again") from error
