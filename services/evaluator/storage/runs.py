"""The folder that holds all runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from askback.contracts.errors import InvalidInput
from services.evaluator.storage.bounded_file import MOST_BYTES
from services.evaluator.storage.run_folder import RunFolder, open_run


@dataclass(frozen=True)
class Runs:
    """Opens runs by id."""

    path: Path
    max_bytes: int = MOST_BYTES
    """Largest JSONL file that is read."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Runs":
        """From RUNS_DIR (default `runs`) and EVALUATOR_MAX_MB (default 512); raises InvalidInput for a bad number."""
        text = environment.get("EVALUATOR_MAX_MB") or str(MOST_BYTES >> 20)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1 << 20):
            raise InvalidInput(f"EVALUATOR_MAX_MB: {text!r} is not a whole number of MiB from 1 to {1 << 20}")
        return cls(Path(environment.get("RUNS_DIR") or "runs"), int(text) << 20)

    def open(self, run_id: str) -> RunFolder:
        """Raises NotFound when it does not exist and InvalidInput when it lies outside."""
        return open_run(self.path, run_id, self.max_bytes)

    def scored(self) -> list[str]:
        """Ids of the runs that have a `scores.json`, sorted."""
        return sorted(file.parent.name for file in self.path.glob("[!.]*/scores.json"))
