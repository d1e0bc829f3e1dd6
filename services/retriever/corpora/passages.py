"""Passages as they are indexed and as they are written."""

from collections.abc import Sequence
from hashlib import sha256

from askback.contracts.errors import InvalidInput
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


def line_of(passage: Passage) -> bytes:
    """The passage as one line of JSON. Line ends inside it are escaped, but for U+2028 and their like: split files at line feeds alone."""
    return passage.model_dump_json().encode() + b"\n"


def checksum(passages: Sequence[Passage]) -> str:
    """SHA-256 of the passages' lines, by which equal passages are known."""
    digest = sha256()
    for passage in passages:
        digest.update(line_of(passage))
    return digest.hexdigest()
