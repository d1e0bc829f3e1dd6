"""What the student of a run may have read in training, as texts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Example, PreferencePair, Sample
from services.evaluator.storage.bounded_file import lines_of
from services.evaluator.storage.run_folder import RunFolder

_ROW: TypeAdapter[Sample | Example | PreferencePair] = TypeAdapter(Sample | Example | PreferencePair)
_NO_TRACK = "dropped"
"""A file beside the tracks, of rows that no student reads."""
_PLAIN = "plain"
"""A folder beside the variants', with the same rows in another form."""


def training_texts(run: RunFolder) -> dict[str, dict[str, str]]:
    """By source, texts by id: the questions of `samples/train.jsonl` as `train`, then all messages of each row of each track, then those of
    all tracks of each variant as `variant NAME`.

    Sources that the run lacks are left out. A second row of one id is called `id (2)`, and so on. Raises InvalidInput naming file and
    line of a row that is neither a question nor a training row.
    """
    files = _tracks(run.path / "tracks")
    if (train := run.path / "samples" / "train.jsonl").exists():
        files.insert(0, train)
    sources = {file.stem: [file] for file in files}
    sources |= {f"variant {folder.name}": _tracks(folder) for folder in sorted((run.path / "tracks").glob("*/")) if folder.name != _PLAIN}
    return {name: _numbered(text for file in parts for text in _texts(run, file)) for name, parts in sources.items()}


def _tracks(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("*.jsonl")) if file.stem != _NO_TRACK]


def _texts(run: RunFolder, file: Path) -> Iterator[tuple[str, str]]:
    place = run.name_of(file)
    for number, line, _ in lines_of(file, place, run.max_bytes):
        try:
            yield _text(_ROW.validate_json(line))
        except ValidationError as error:
            raise InvalidInput(f"{place}:{number}: {error.errors()[0]['msg']}; it must be a training row, write the file again") from error


def _text(row: Sample | Example | PreferencePair) -> tuple[str, str]:
    """The row's id and what is read of it."""
    if isinstance(row, Sample):
        return row.id, row.question
    answers = row.completion if isinstance(row, Example) else [*row.chosen, *row.rejected]
    return row.sample_id, "\n".join(message.content for message in [*row.prompt, *answers])


def _numbered(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    found, counts = {}, Counter[str]()
    for name, text in rows:
        counts[name] += 1
        found[name if counts[name] == 1 else f"{name} ({counts[name]})"] = text
    return found
