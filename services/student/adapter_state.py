"""The registry's memory: one JSON file, replaced whole, so that it survives the service and the power."""

import os
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.student import BASE


class AdapterState(BaseModel):
    """Which adapters are served from where, and which is the default."""

    default: str = BASE
    paths: dict[str, str] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the weights of every name that was ever used; a name never gets others."""


def read_state(path: Path) -> AdapterState:
    """The state in `path`, or a fresh one where there is none; raises InvalidInput for a file that is something else."""
    try:
        return AdapterState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return AdapterState()
    except ValidationError as error:
        raise InvalidInput(f"STUDENT_STATE: {path} is not the student's state; move it away and load the adapters again") from error


def write_state(path: Path, state: AdapterState) -> None:
    """Replace the file at once: whoever reads it after a kill or a power cut finds the old state or this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    with aside.open("w", encoding="utf-8") as file:
        file.write(state.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)
