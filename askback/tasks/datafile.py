"""Read local dataset files; every complaint names the file, the line and the remedy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Sample
from askback.tasks.task import Task


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, row) pairs of a JSONL file or a JSON list; `place` is `file:line` or `file, row n`."""
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file; point --data at a folder with the official files")
    yield from _json_list(path, _text(path)) if path.suffix == ".json" else read_jsonl(path)


def read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    """(`file:line`, row) pairs of a JSONL file; blank lines are skipped."""
    # Not splitlines(): it also splits at U+2028 and its kin, which JSON allows inside a text.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise InvalidInput(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); each line must be one object") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error


def _json_list(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(rows, list):
        raise InvalidInput(f"{path}: must hold a JSON list of rows")
    for number, row in enumerate(rows, 1):
        yield f"{path}, row {number}", row


def load_local(task: Task, data: Path, split: str) -> list[Sample]:
    """All rows of `split` under the folder `data`; raises InvalidInput naming file and line of the first bad row."""
    if not data.is_dir():
        raise InvalidInput(f"{data}: no such folder; point --data at a folder with the official files")
    samples: list[Sample] = []
    seen: dict[str, str] = {}
    for place, row in read_rows(task.local_file(data, split)):
        try:
            sample = task.read(row)
        except InvalidInput as error:
            raise InvalidInput(f"{place}: {error}") from error
        if sample.id in seen:
            raise InvalidInput(f"{place}: id {sample.id!r} stands already at {seen[sample.id]}; ids must be unique")
        seen[sample.id] = place
        samples.append(sample)
    if not samples:
        raise InvalidInput(f"{task.local_file(data, split)}: no rows")
    return samples
