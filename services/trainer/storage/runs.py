"""Where the runs lie: what a request's paths mean there, and how a finished adapter gets there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from askback.contracts.errors import Conflict, InvalidInput

RECORD = "training.json"
"""Written last into an adapter's folder, so that its presence means that the folder is whole."""


@dataclass(frozen=True)
class Owner:
    """Whose a folder of a run is."""

    job_id: str
    """Empty for one that no job of this trainer wrote."""
    complete: bool


class Runs(Protocol):
    """All the runs. Paths in a run are relative to its folder; InvalidInput names `field` where one leaves it."""

    def exists(self, run: str) -> bool: ...

    def file(self, field: str, run: str, relative: str) -> Path:
        """The file, or a copy of it, on this machine; a path where nothing is when it is missing."""

    def folder(self, field: str, run: str, relative: str, names: Sequence[str]) -> Path:
        """The folder, or a copy of its files `names`, on this machine; what is missing is missing there too."""

    def owner(self, run: str, relative: str) -> Owner | None:
        """Whose folder that is; None when nothing is there."""

    def target(self, run: str, relative: str) -> Path:
        """A path on this machine beside which the folder may be made that is then published."""

    def publish(self, aside: Path, run: str, relative: str, record: str = RECORD) -> None:
        """Move the folder `aside`, whose file `record` names its `job_id`, to its place; whoever sees `record` there sees all of it."""


class LocalRuns:
    """Runs in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self, run: str) -> bool:
        return self._of(run).is_dir()

    def file(self, field: str, run: str, relative: str) -> Path:
        folder = self._of(run)
        path = (folder / relative.split("\0")[0]).resolve()
        if not path.is_relative_to(folder) or "\0" in relative:
            raise outside(field, relative)
        return path

    def folder(self, field: str, run: str, relative: str, names: Sequence[str]) -> Path:
        return self.file(field, run, relative)

    def owner(self, run: str, relative: str) -> Owner | None:
        target = self.target(run, relative)
        if not target.exists():
            return None
        record = target / RECORD
        job_id = str(parsed(record, record.read_bytes()).get("job_id") or "") if record.is_file() else ""
        return Owner(job_id, bool(job_id))

    def target(self, run: str, relative: str) -> Path:
        return self._of(run) / relative

    def publish(self, aside: Path, run: str, relative: str, record: str = RECORD) -> None:
        try:
            aside.rename(self.target(run, relative))
        except OSError as error:
            raise Conflict(f"name: {relative} appeared meanwhile; choose another name or remove the folder") from error

    def _of(self, run: str) -> Path:
        return (self._root / run).resolve()


def outside(field: str, relative: str) -> InvalidInput:
    return InvalidInput(f"{field}: {relative!r} lies outside the run's folder; give a path relative to it")


def parsed(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON object `content` of the file `path`, empty for JSON of another kind; raises InvalidInput for what is no JSON."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise InvalidInput(f"{path.parent.name}/{path.name}: not JSON ({error}); remove the folder and train it again") from error
    return value if isinstance(value, dict) else {}
