"""One request among the runs: its dataset and starting adapter, and the place of the adapter that it makes."""

import hashlib
from pathlib import Path

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.trainer import TrainRequest
from services.trainer.rows.dataset import digest
from services.trainer.settings import Settings
from services.trainer.storage.fsspec_runs import UrlRuns
from services.trainer.storage.runs import LocalRuns, Runs, parsed

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


class Workspace:
    """The paths of one request, all of them inside its run's folder or copies of what lies there."""

    def __init__(self, settings: Settings, request: TrainRequest) -> None:
        """Raises InvalidInput for a path that leaves the run's folder and for an unfit `init_adapter`."""
        self.base_model = settings.base_model
        self.request = request
        self._runs = runs_at(settings)
        if not settings.base_model:
            raise InvalidInput("BASE_MODEL is not set; start the trainer with the folder or name of the base model")
        if not self._runs.exists(request.run_id):
            raise InvalidInput(f"run_id: {request.run_id}: no such folder under RUNS_DIR")
        self.dataset = self._runs.file("dataset", request.run_id, request.dataset)
        self.init_adapter = self._init_adapter() if request.init_adapter else None

    @property
    def adapter(self) -> str:
        """The new adapter's folder, relative to the run's."""
        return f"adapters/{self.request.name}"

    @property
    def target(self) -> Path:
        """The new adapter's folder; one that is behind a URL is never there. Make the folder to `publish` beside it."""
        return self._runs.target(self.request.run_id, self.adapter)

    def job_id(self) -> str:
        """Same request, same bytes of data and starting weights, same base model: same 16 hexadecimal digits."""
        parts = [self.request.model_dump_json(), digest(self.dataset), self.base_model]
        if self.init_adapter:
            parts.append(digest(self.init_adapter / WEIGHTS))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def is_published(self, job_id: str) -> bool:
        """Whether this very job's adapter is there; raises Conflict when its name holds something else."""
        owner = self._runs.owner(self.request.run_id, self.adapter)
        if owner is None:
            return False
        if owner.job_id != job_id:
            holder = f"job {owner.job_id}" if owner.job_id else "no job of this trainer"
            raise Conflict(f"name: {self.adapter} holds the adapter of {holder}; choose another name or remove the folder")
        return owner.complete

    def publish(self, aside: Path) -> None:
        """Move the whole adapter `aside`, with its training.json, to its place; raises Conflict when the place was taken meanwhile."""
        self._runs.publish(aside, self.request.run_id, self.adapter)

    def _init_adapter(self) -> Path:
        named = self.request.init_adapter
        folder = self._runs.folder("init_adapter", self.request.run_id, named, (CONFIG, WEIGHTS))
        config = folder / CONFIG
        if not config.is_file() or not (folder / WEIGHTS).is_file():
            raise InvalidInput(f"init_adapter: {named}: no adapter there; train it first")
        base = parsed(config, config.read_bytes()).get("base_model_name_or_path")
        if base != self.base_model:
            raise InvalidInput(f"init_adapter: {named} was trained on {base!r}; the trainer's base model is {self.base_model!r}")
        return folder


def runs_at(settings: Settings) -> Runs:
    """The runs of RUNS_DIR; raises InvalidInput for a URL that cannot be used."""
    return UrlRuns(settings.runs_url, settings.runs) if settings.runs_url else LocalRuns(settings.runs)
