"""A run's folder: where a request's dataset and adapters lie, and what a finished adapter says of itself."""

import hashlib
import json
from pathlib import Path
from typing import Any

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.trainer import TrainRequest
from services.trainer.dataset import digest
from services.trainer.settings import Settings


class Workspace:
    """The paths of one request, all of them inside its run's folder."""

    def __init__(self, settings: Settings, request: TrainRequest) -> None:
        """Raises InvalidInput for a path that leaves the run's folder and for an unfit `init_adapter`."""
        self.base_model = settings.base_model
        self.request = request
        self.folder = (settings.runs / request.run_id).resolve()
        if not settings.base_model:
            raise InvalidInput("BASE_MODEL is not set; start the trainer with the folder or name of the base model")
        if not self.folder.is_dir():
            raise InvalidInput(f"run_id: {request.run_id}: no such folder under RUNS_DIR")
        self.dataset = self._inside("dataset", request.dataset)
        self.init_adapter = self._inside("init_adapter", request.init_adapter) if request.init_adapter else None
        if self.init_adapter:
            self._check_adapter(self.init_adapter)

    @property
    def adapter(self) -> str:
        """The new adapter's folder, relative to the run's."""
        return f"adapters/{self.request.name}"

    @property
    def target(self) -> Path:
        return self.folder / self.adapter

    def job_id(self) -> str:
        """Same request, same bytes of data and starting weights, same base model: same 16 hexadecimal digits."""
        parts = [self.request.model_dump_json(), digest(self.dataset), self.base_model]
        if self.init_adapter:
            parts.append(digest(self.init_adapter / "adapter_model.safetensors"))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def is_published(self, job_id: str) -> bool:
        """Whether this very job's adapter is there; raises Conflict when its name holds something else."""
        if not self.target.exists():
            return False
        record = self.target / "training.json"
        owner = _read_json(record).get("job_id") if record.is_file() else None
        if owner != job_id:
            holder = f"job {owner}" if owner else "no job of this trainer"
            raise Conflict(f"name: {self.adapter} holds the adapter of {holder}; choose another name or remove the folder")
        return True

    def _inside(self, field: str, relative: str) -> Path:
        path = (self.folder / relative.split("\0")[0]).resolve()
        if not path.is_relative_to(self.folder) or "\0" in relative:
            raise InvalidInput(f"{field}: {relative!r} lies outside the run's folder; give a path relative to it")
        return path

    def _check_adapter(self, folder: Path) -> None:
        config = folder / "adapter_config.json"
        if not config.is_file() or not (folder / "adapter_model.safetensors").is_file():
            raise InvalidInput(f"init_adapter: {self.request.init_adapter}: no adapter there; train it first")
        base = _read_json(config).get("base_model_name_or_path")
        if base != self.base_model:
            raise InvalidInput(f"init_adapter: {self.request.init_adapter} was trained on {base!r}; the trainer's base model is {self.base_model!r}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path.parent.name}/{path.name}: not JSON ({error}); remove the folder and train it again") from error
    return content if isinstance(content, dict) else {}
