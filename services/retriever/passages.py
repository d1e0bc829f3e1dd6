"""Passages as they are indexed and as they lie on disk."""

from collections.abc import Sequence
from hashlib import sha256

from pydantic import ValidationError

from askback.contracts.errors import Conflict, InvalidInput
from askback.contracts.records import Passage


def indexed_text(passage: Passage) -> str:
    """What is embedded and tokenized: the title, then the text."""
    return f"{passage.title}. {passage.text}" if passage.title else passage.text


def distinct(passages: Sequence[Passage]) -> list[Passage]:
    """The passages with equal repetitions kept once, in their order.

    Raises InvalidInput for a passage without title and text, and for an id that stands for two different passages.
    """
    seen: dict[str, Passage] = {}
    for row, passage in enumerate(passages):
        if not (passage.title + passage.text).strip():
            raise InvalidInput(f"passages.{row} (id {passage.id!r}): title and sentences are empty; give at least one of them")
        if seen.setdefault(passage.id, passage) != passage:
            raise InvalidInput(f"passages.{row}: id {passage.id!r} stands already for another passage; ids must be unique")
    return list(seen.values())


def to_jsonl(passages: Sequence[Passage]) -> bytes:
    """One JSON object per line."""
    return b"".join(passage.model_dump_json().encode() + b"\n" for passage in passages)


def from_jsonl(content: bytes) -> list[Passage]:
    """Inverse of `to_jsonl`; raises Conflict naming the line that is no passage."""
    passages = []
    # bytes are split at line feeds alone, unlike text, where a passage may hold other line ends
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            passages.append(Passage.model_validate_json(line))
        except ValidationError as error:
            raise Conflict(f"passages.jsonl:{number} is not a passage ({error.errors()[0]['msg']}); index the passages again") from error
    return passages


def checksum(jsonl: bytes) -> str:
    """SHA-256 of the passages' file, by which equal passages are known."""
    return sha256(jsonl).hexdigest()
