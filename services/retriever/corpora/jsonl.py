"""A corpus of JSON lines, one passage with id, title and sentences (or text) a line."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage
from services.retriever.corpora.source import Block

_BLOCK = 2_000  # lines


class Jsonl:
    """Further fields of a line are passed over, and so are empty lines."""

    kind = "jsonl"

    def __init__(self, path: Path) -> None:
        self.path = path

    def blocks(self, skip: int) -> Iterator[Block]:
        try:
            with self.path.open("rb") as file:
                # lines that are passed over are not parsed
                for _ in islice(file, skip * _BLOCK):
                    pass
                first = skip * _BLOCK + 1
                while lines := list(islice(file, _BLOCK)):
                    passages = [self._passage(number, line) for number, line in enumerate(lines, first) if line.strip()]
                    yield Block(passages, file.tell())
                    first += len(lines)
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be read ({error.strerror}); name the corpus file") from error

    def _passage(self, number: int, line: bytes) -> Passage:
        try:
            row: dict[str, Any] = json.loads(line)
            sentences = row["sentences"] if "sentences" in row else [row["text"]]
            return Passage(id=str(row["id"]), title=row.get("title") or "", sentences=sentences)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            place = f"{self.path}:{number}"
            raise InvalidInput(f"{place}: a passage needs id, title and sentences (a list of texts) or text, on one line") from error
