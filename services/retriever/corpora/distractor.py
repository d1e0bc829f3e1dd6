"""The contexts of HotpotQA's distractor files: each question's ten passages, every title once."""

import json
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage
from services.retriever.corpora.source import Block
from services.retriever.storage.arrays import hash_of

_BLOCK = 200  # questions
_CHARACTERS = 1 << 20


class Distractor:
    """`hotpot_train_v1.1.json`, `hotpot_dev_distractor_v1.json` and their like. The file is one JSON list; one question at a time is held."""

    kind = "hotpotqa"

    def __init__(self, path: Path) -> None:
        self.path = path

    def blocks(self, skip: int) -> Iterator[Block]:
        seen: set[int] = set()  # of titles, which have 8 bytes here and not their text
        rows = self._rows()
        for number in range(10**9):
            block = list(islice(rows, _BLOCK))
            if not block:
                return
            passages = [passage for row, _ in block for passage in self._passages(row) if _is_new(passage.title, seen)]
            if number >= skip:
                yield Block(passages, block[-1][1])

    def _passages(self, row: Any) -> list[Passage]:
        try:
            return [Passage(id=title, title=title, sentences=sentences) for title, sentences in row["context"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{self.path}: a row's `context` must list [title, [sentences]]; name a HotpotQA file") from error

    def _rows(self) -> Iterator[tuple[Any, int]]:
        """(row, bytes read so far) of each element of the list."""
        decoder = json.JSONDecoder()
        try:
            with self.path.open("rb") as raw, TextIOWrapper(raw, encoding="utf-8") as file:
                text = file.read(_CHARACTERS).lstrip()
                if not text.startswith("["):
                    raise InvalidInput(f"{self.path} is not a JSON list; name a HotpotQA file")
                text = text[1:]
                while not (text := text.lstrip(" \t\r\n,")).startswith("]"):
                    try:
                        row, end = decoder.raw_decode(text)
                    except ValueError:  # the row goes on in what is still to be read
                        more = file.read(_CHARACTERS)
                        if not more:
                            raise InvalidInput(f"{self.path} is cut or damaged; download it again") from None
                        text += more
                        continue
                    text = text[end:]
                    yield row, raw.tell()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{self.path} cannot be read ({error}); name a HotpotQA file") from error


def _is_new(title: str, seen: set[int]) -> bool:
    key = hash_of(title)
    if key in seen:
        return False
    seen.add(key)
    return True
