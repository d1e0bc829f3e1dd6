"""A run's files, read and never written: the run may be under way, so a torn last line is passed over and stays where it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from askback.contracts.errors import InvalidInput

R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a JSONL file that are written to their end; none when the file is missing."""
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def records(path: Path, kind: type[R]) -> list[R]:
    """The whole lines as records; raises InvalidInput naming file and line of one that is no `kind`."""
    found = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise InvalidInput(f"{path}:{number}: not a {kind.__name__}: {error.errors()[0]['msg']}; mend or remove the line") from error
    return found


def objects(path: Path) -> list[dict[str, Any]]:
    """The whole lines as JSON objects; raises InvalidInput naming file and line of one that is none."""
    found = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InvalidInput(f"{path}:{number}: not JSON: {error}; `askback tracks` writes the file anew") from error
        if not isinstance(value, dict):
            raise InvalidInput(f"{path}:{number}: not a JSON object; `askback tracks` writes the file anew")
        found.append(value)
    return found


class Unchanged:
    """What was made of a file, until the file's size or time of change differs. Not safe for threads."""

    def __init__(self) -> None:
        self._made: dict[Path, tuple[tuple[int, int], Any]] = {}

    def get(self, path: Path, make: Callable[[Path], T]) -> T:
        """`make(path)`, or what it gave before for the same content."""
        stamp = stamp_of(path)
        if path not in self._made or self._made[path][0] != stamp:
            self._made[path] = stamp, make(path)
        made: T = self._made[path][1]
        return made


def stamp_of(path: Path) -> tuple[int, int]:
    """(time of change in ns, size in bytes); zeros for a file that is not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
