"""Read a track file into conversational rows; every complaint names the file's line."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Example, Message, PreferencePair
from askback.contracts.trainer import Method

REPLIES = {Method.SFT: ("completion",), Method.DPO: ("chosen", "rejected")}
"""The fields of a row that hold what the model learns to say."""

LONGEST_LINE = 1 << 22
"""Bytes of a line; far more than any `max_length` holds, so that a longer one is a file gone wrong."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OPENERS = ("system", "user")
_TURNS = ("user", "assistant")


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
    content = path.read_bytes()
    if content.startswith(_BYTE_ORDER_MARK):
        raise InvalidInput(f"dataset: {path.name}:1: starts with a byte order mark; save the file as UTF-8 without one")
    # Text mode and splitlines() would also break at U+2028 and its like, which JSON strings may hold unescaped.
    for number, raw in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        place = f"dataset: {path.name}:{number}"
        if len(raw) > LONGEST_LINE:
            raise InvalidInput(f"{place}: {len(raw):,} bytes in one line; a row has at most {LONGEST_LINE:,}, so split or leave it out")
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{place}: not UTF-8 text ({error.reason}); save the file as UTF-8") from error
        if not line.strip():
            raise InvalidInput(f"{place}: empty line; each line must be one object, so remove it")
        yield number, line


def _row(name: str, number: int, line: str, method: Method) -> Row:
    place = f"dataset: {name}:{number}"
    schema: type[Example] | type[PreferencePair] = Example if method is Method.SFT else PreferencePair
    try:
        record = schema.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InvalidInput(f"{place}: {field}: {first['msg']}; a row for {method} needs {', '.join(schema.model_fields)} and nothing else") from error
    json.loads(line, object_pairs_hook=lambda pairs: _once(place, pairs))
    row = Row(number, record.prompt, {field: getattr(record, field) for field in REPLIES[method]})
    _check_text(place, "prompt", row.prompt)
    _check_prompt_roles(place, row.prompt)
    for field, messages in row.replies.items():
        _check_text(place, field, messages)
        _check_reply_roles(place, field, messages)
    if method is Method.DPO and _said(row.replies["chosen"]) == _said(row.replies["rejected"]):
        raise InvalidInput(f"{place}: chosen and rejected are the same; leave out pairs that prefer nothing")
    return row


def _once(place: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(f"{place}: {twice}: given twice, and only one would be read; remove the other")
    return dict(pairs)


def _check_text(place: str, field: str, messages: Sequence[Message]) -> None:
    if not messages or not all(message.content.strip() for message in messages):
        raise InvalidInput(f"{place}: {field}: empty; every message needs text")
    if any("\0" in message.content for message in messages):
        raise InvalidInput(f"{place}: {field}: holds a NUL character; remove it")


def _check_prompt_roles(place: str, messages: Sequence[Message]) -> None:
    for number, message in enumerate(messages):
        known = _OPENERS if number == 0 else _TURNS
        if message.role not in known:
            raise InvalidInput(f"{place}: prompt.{number}: role {message.role!r}; must be one of {', '.join(known)}, and system comes first alone")
    if messages[-1].role != "user":
        raise InvalidInput(f"{place}: prompt: ends with role {messages[-1].role!r}; must end with 'user'")


def _check_reply_roles(place: str, field: str, messages: Sequence[Message]) -> None:
    if messages[-1].role != "assistant":
        raise InvalidInput(f"{place}: {field}: ends with role {messages[-1].role!r}; must end with 'assistant'")
    if len(messages) > 1:
        # All of a reply carries loss, a user's words among it too.
        raise InvalidInput(f"{place}: {field}: {len(messages)} messages; a reply is one, so write a row per reply with what precedes it as prompt")


def _said(messages: Sequence[Message]) -> list[str]:
    return [message.content.strip() for message in messages]
