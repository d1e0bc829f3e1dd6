"""Which LoRA adapters are served, and which one is the student. Survives a restart of this service and of the engine.

Names are immutable: an engine's prefix cache keys on the name and would serve stale values for changed weights.
"""

import json
import os
from collections.abc import Awaitable, Callable
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypeVar

from askback.contracts.errors import Conflict, InvalidInput, NotFound
from askback.contracts.student import BASE, Adapter, AdaptersResponse
from services.student.engine import Engine

Result = TypeVar("Result")


class Adapters:
    """The registry: adapter folders under `root`, their names in the file `state`."""

    def __init__(self, engine: Engine, root: Path, state: Path, base_model: str, served_base: str, max_rank: int) -> None:
        self._engine = engine
        self._root = root.resolve()
        self._state = state
        self._base_model = base_model
        self._served_base = served_base
        self._max_rank = max_rank
        kept = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
        self._paths: dict[str, str] = kept.get("paths", {})
        self._digests: dict[str, str] = kept.get("digests", {})
        self._default: str = kept.get("default", BASE)
        self._served: set[str] = set()

    def listing(self) -> AdaptersResponse:
        adapters = [Adapter(name=name, path=path) for name, path in self._paths.items()]
        return AdaptersResponse(base_model=self._base_model, default=self._default, adapters=adapters)

    async def add(self, adapter: Adapter) -> None:
        """Serve a folder under a new name; the same name with the same weights changes nothing.

        Raises InvalidInput saying what is wrong with the folder, Conflict when the name has other weights.
        """
        if adapter.name == BASE:
            raise InvalidInput(f"name: {BASE!r} is the untrained student; choose another name")
        folder = self._folder(adapter.path)
        check_adapter(folder, self._base_model, self._max_rank)
        with (folder / "adapter_model.safetensors").open("rb") as weights:
            digest = file_digest(weights, "sha256").hexdigest()
        if self._digests.get(adapter.name, digest) != digest:
            raise Conflict(f"adapter {adapter.name!r} has other weights already; adapter names are immutable, choose a new one")
        await self._engine.load(adapter.name, str(folder))
        self._served.add(adapter.name)
        self._paths[adapter.name], self._digests[adapter.name] = adapter.path, digest
        self._save()

    async def remove(self, name: str) -> None:
        if name not in self._paths:
            raise NotFound(self._unknown(name))
        if name == self._default:
            raise Conflict(f"adapter {name!r} is the default; make another one the default first")
        await self._engine.unload(name)
        self._served.discard(name)
        del self._paths[name], self._digests[name]
        self._save()

    def make_default(self, name: str) -> None:
        if name != BASE and name not in self._paths:
            raise NotFound(self._unknown(name))
        self._default = name
        self._save()

    async def using(self, name: str, call: Callable[[str], Awaitable[Result]]) -> tuple[str, Result]:
        """`call` with the engine's model for adapter `name` (empty: the default one); returns the adapter's name too.

        An engine that was restarted has forgotten its adapters: it is given this one again, once.
        """
        name = name or self._default
        if name == BASE:
            return BASE, await call(self._served_base)
        if name not in self._paths:
            raise NotFound(self._unknown(name))
        if name not in self._served:
            await self._serve(name)
        try:
            return name, await call(name)
        except NotFound:
            await self._serve(name)
            return name, await call(name)

    async def _serve(self, name: str) -> None:
        await self._engine.load(name, str(self._folder(self._paths[name])))
        self._served.add(name)

    def _folder(self, path: str) -> Path:
        folder = (self._root / path).resolve()
        if not folder.is_relative_to(self._root) or folder == self._root:
            raise InvalidInput(f"path: {path!r} is outside the adapters folder")
        return folder

    def _unknown(self, name: str) -> str:
        return f"no adapter {name!r}; loaded: {', '.join([BASE, *self._paths])}"

    def _save(self) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        aside = self._state.with_suffix(".tmp")
        with aside.open("w", encoding="utf-8") as file:
            json.dump({"default": self._default, "paths": self._paths, "digests": self._digests}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._state)


def check_adapter(folder: Path, base_model: str, max_rank: int) -> None:
    """Raise InvalidInput when vLLM could not serve the LoRA adapter in `folder` on `base_model`."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise InvalidInput(f"path: {folder.name} has no {name}; adapters are PEFT folders with safetensors weights")
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"path: adapter_config.json in {folder.name} is not JSON: {error}") from error
    trained_on = str(config.get("base_model_name_or_path", ""))
    if Path(trained_on).name != Path(base_model).name:
        raise InvalidInput(f"path: {folder.name} was trained on {trained_on!r}, and the engine serves {base_model!r}")
    if int(config.get("r", 0)) > max_rank:
        raise InvalidInput(f"path: {folder.name} has rank {config['r']}, and the engine serves ranks up to {max_rank}")
    for field in ("use_dora", "modules_to_save"):
        if config.get(field):
            raise InvalidInput(f"path: {folder.name} sets {field}, which the engine cannot serve")
