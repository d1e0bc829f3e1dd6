"""Read a run's folder. Every complaint names the file, the line where there is one, and the remedy."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from askback.contracts.errors import Conflict, InvalidInput, NotFound
from askback.contracts.evaluator import Scores
from askback.contracts.records import Condition, HarvestRecord, Prediction, Record, Sample
from services.evaluator.storage.bounded_file import MOST_BYTES, lines_of, text_of

Row = TypeVar("Row", bound=Record)

_CONDITION = ".condition.json"
_PROBES = "uncertainty.jsonl"  # stands among the samples, and holds what the student said to them


def open_run(runs_dir: Path, run_id: str, max_bytes: int = MOST_BYTES) -> "RunFolder":
    """The run's folder; raises NotFound when it does not exist and InvalidInput when it lies outside `runs_dir`."""
    root = runs_dir.resolve()
    path = (root / run_id).resolve()
    if path.parent != root:
        raise InvalidInput(f"run_id {run_id!r}: leads out of the runs folder; give the name of a folder in it")
    if not path.is_dir():
        raise NotFound(f"run {run_id!r}: no such folder under {runs_dir}")
    return RunFolder(path, max_bytes)


@dataclass(frozen=True)
class RunFolder:
    """`samples/dev.jsonl` and `predictions/` must exist; all else may be absent and is then empty here."""

    path: Path
    max_bytes: int = MOST_BYTES
    """Largest JSONL file that is read."""

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def samples_file(self) -> Path:
        return self.path / "samples" / "dev.jsonl"

    def samples(self) -> list[Sample]:
        """The test questions, in file order; raises InvalidInput when there are none or an id stands twice."""
        file = self.samples_file
        if not file.exists():
            raise InvalidInput(f"{self.name_of(file)}: no such file; run the sample stage first")
        samples = self._rows(file, Sample)
        if not samples:
            raise InvalidInput(f"{self.name_of(file)}: no rows; nothing can be scored")
        seen: set[str] = set()
        for sample in samples:
            if sample.id in seen:
                raise InvalidInput(f"{self.name_of(file)}: id {sample.id!r} stands twice; ids must be unique")
            seen.add(sample.id)
        return samples

    def all_samples(self) -> dict[str, Sample]:
        """Every question of every split by id, for judging the harvest against gold."""
        files = [file for file in sorted((self.path / "samples").glob("*.jsonl")) if file.name != _PROBES]
        return {sample.id: sample for file in files for sample in self._rows(file, Sample)}

    def conditions(self) -> list[Condition]:
        """The conditions with predictions, sorted by file name; raises InvalidInput when a file lacks its counterpart."""
        folder = self.path / "predictions"
        names = {file.name.removesuffix(".jsonl") for file in folder.glob("*.jsonl")}
        described = {file.name.removesuffix(_CONDITION) for file in folder.glob(f"*{_CONDITION}")}
        if not names:
            raise InvalidInput("predictions/: no *.jsonl files; run the evaluate stage first")
        for name in sorted(names ^ described):
            missing = f"{name}.jsonl" if name in described else f"{name}{_CONDITION}"
            raise InvalidInput(f"predictions/{missing}: no such file; each predictions file stands beside its condition")
        return [self._condition(folder / f"{name}{_CONDITION}") for name in sorted(names)]

    def predictions(self, condition: Condition) -> list[Prediction]:
        return self._rows(self.predictions_file(condition), Prediction)

    def predictions_file(self, condition: Condition) -> Path:
        return self.path / "predictions" / f"{condition.name}.jsonl"

    def harvest(self) -> list[HarvestRecord]:
        file = self.path / "harvest.jsonl"
        return self._rows(file, HarvestRecord) if file.exists() else []

    def data_card(self) -> dict[str, Any]:
        return self._object(self.path / "tracks" / "data_card.json")

    def trainings(self) -> dict[str, dict[str, Any]]:
        """`training.json` by adapter name."""
        files = sorted(self.path.glob("adapters/[!.]*/training.json"))  # a dot marks a folder that is still being written
        return {file.parent.name: self._object(file) for file in files}

    def manifests(self) -> list[dict[str, Any]]:
        """Every finished stage's manifest, in the order in which they were written."""
        files = sorted(self.path.glob("manifests/[!.]*.json"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        return [{"stage": file.stem} | self._object(file) for file in files]

    def config(self) -> dict[str, Any]:
        file = self.path / "config.toml"
        if not file.exists():
            return {}
        try:
            return tomllib.loads(text_of(file, self.name_of(file)))
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(f"{self.name_of(file)}: not TOML ({error})") from error

    @property
    def scores_file(self) -> Path:
        return self.path / "scores.json"

    def written_scores(self) -> Scores:
        """`scores.json` as it stands, whatever `predictions/` holds; raises Conflict when it is missing."""
        if not self.scores_file.exists():
            raise Conflict(f"run {self.run_id!r}: scores.json is missing; POST /v1/scores first")
        return self._one(self.scores_file, Scores)

    def scores(self) -> Scores:
        """`scores.json`; raises Conflict when it is missing or names other conditions than `predictions/` holds."""
        scores = self.written_scores()
        if {score.condition.name for score in scores.conditions} != {condition.name for condition in self.conditions()}:
            raise Conflict(f"run {self.run_id!r}: scores.json was made from other predictions than lie there; POST /v1/scores again")
        return scores

    def _condition(self, file: Path) -> Condition:
        condition = self._one(file, Condition)
        if f"{condition.name}{_CONDITION}" != file.name:
            raise InvalidInput(f"{self.name_of(file)}: holds condition {condition.name!r}; the file must bear that name")
        return condition

    def name_of(self, file: Path) -> str:
        """`file` as messages name it: relative to the runs folder."""
        return str(file.relative_to(self.path.parent))

    def _rows(self, file: Path, kind: type[Row]) -> list[Row]:
        place = self.name_of(file)
        return [_parsed(line, kind, f"{place}:{number}", whole) for number, line, whole in lines_of(file, place, self.max_bytes)]

    def _one(self, file: Path, kind: type[Row]) -> Row:
        return _parsed(text_of(file, self.name_of(file)), kind, self.name_of(file))

    def _object(self, file: Path) -> dict[str, Any]:
        if not file.exists():
            return {}
        try:
            value = json.loads(text_of(file, self.name_of(file)))
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{self.name_of(file)}:{error.lineno}: not JSON ({error.msg}); write the file again") from error
        except RecursionError as error:
            raise InvalidInput(f"{self.name_of(file)}: nested too deeply; write the file again") from error
        if not isinstance(value, dict):
            raise InvalidInput(f"{self.name_of(file)}: must hold one JSON object")
        return value


def _parsed(text: str, kind: type[Row], place: str, whole: bool = True) -> Row:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid" and not whole:
            raise InvalidInput(f"{place}: the last line is cut off: it is being written, or was left so; finish that stage first") from error
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InvalidInput(f"{place}: {field}: {first['msg']}; each must be a {kind.__name__} as JSON") from error
