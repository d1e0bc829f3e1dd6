"""Read a track file into conversational rows; every complaint names the file's line."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Example, Message, PreferencePair
from askback.contracts.trainer import Method

REPLIES = {Method.SFT: ("completion",), Method.DPO: ("chosen", "rejected")}
"""The fields of a row that hold what the model learns to say."""


@dataclass(frozen=True)
class Row:
    """A training row: the prompt, and the reply under each of `REPLIES`' names."""

    line: int
    prompt: list[Message]
    replies: dict[str, list[Message]]

    def columns(self) -> dict[str, list[dict[str, str]]]:
        """The row as TRL takes it: the prompt and the replies, each a list of {role, content}."""
        named = {"prompt": self.prompt, **self.replies}
        return {name: [message.model_dump() for message in messages] for name, messages in named.items()}


def read_dataset(path: Path, method: Method) -> list[Row]:
    """All rows of the JSONL file `path`; raises InvalidInput naming the first bad line and the remedy."""
    if not path.is_file():
        raise InvalidInput(f"dataset: {path.name}: no such file in the run's folder; build the tracks first")
    rows = [_row(path.name, number, line, method) for number, line in _lines(path)]
    if not rows:
        raise InvalidInput(f"dataset: {path.name}: no rows; build the tracks with at least one row")
    return rows


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Text mode and splitlines() would also break at U+2028 and its like, which JSON strings may hold unescaped.
    for number, raw in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"dataset: {path.name}:{number}: not UTF-8 text ({error.reason})") from error
        if not line.strip():
            raise InvalidInput(f"dataset: {path.name}:{number}: empty line; each line must be one object")
        yield number, line


def _row(name: str, number: int, line: str, method: Method) -> Row:
    place = f"dataset: {name}:{number}"
    try:
        record: Example | PreferencePair = (Example if method is Method.SFT else PreferencePair).model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InvalidInput(f"{place}: {field}: {first['msg']}; a row for {method} needs prompt, {', '.join(REPLIES[method])}") from error
    row = Row(number, record.prompt, {field: getattr(record, field) for field in REPLIES[method]})
    _refuse_blank(place, "prompt", row.prompt, "user")
    for field, messages in row.replies.items():
        _refuse_blank(place, field, messages, "assistant")
    if method is Method.DPO and row.replies["chosen"] == row.replies["rejected"]:
        raise InvalidInput(f"{place}: chosen and rejected are the same; leave out pairs that prefer nothing")
    return row


def _refuse_blank(place: str, field: str, messages: Sequence[Message], last_role: str) -> None:
    if not messages or not all(message.content.strip() for message in messages):
        raise InvalidInput(f"{place}: {field}: empty; every message needs text")
    if messages[-1].role != last_role:
        raise InvalidInput(f"{place}: {field}: ends with role {messages[-1].role!r}; must end with {last_role!r}")
