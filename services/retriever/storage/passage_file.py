"""Passages on disk: JSON lines, where each line begins, and what their titles stand for. None of it is held in memory."""

from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import overload

import numpy as np
from pydantic import ValidationError

from askback.contracts.errors import Conflict
from askback.contracts.records import Passage
from services.retriever.storage.arrays import Array, open_array, write_array
from services.retriever.storage.titles import TitleFile, name_key

PASSAGES = "passages.jsonl"
_OFFSETS = "passages.offsets.npy"


def write_offsets(folder: Path, lengths: Sequence[int] | Array) -> None:
    """Where each passage begins, from the bytes of each line of passages.jsonl."""
    write_array(folder / _OFFSETS, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))


class PassageFile(Sequence[Passage]):
    """The passages of one folder. It stays readable when the folder is removed, and from several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises Conflict when a file is missing, or when the lengths do not fit each other."""
        try:
            with (folder / PASSAGES).open("rb") as file:
                self._lines = mmap(file.fileno(), 0, access=ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Conflict(f"{PASSAGES} cannot be read; index the passages again") from error
        self._offsets = open_array(folder / _OFFSETS, np.int64)
        if not len(self._offsets) or self._offsets[-1] != len(self._lines):
            raise Conflict(f"{PASSAGES} has {len(self._lines)} bytes, which is not where its offsets end; index the passages again")
        self._titles = TitleFile(folder, len(self))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, position: int) -> Passage: ...
    @overload
    def __getitem__(self, position: slice) -> list[Passage]: ...
    def __getitem__(self, position: int | slice) -> Passage | list[Passage]:
        """The passage at `position`; raises Conflict when its line is not one."""
        if isinstance(position, slice):
            return [self[row] for row in range(*position.indices(len(self)))]
        if not 0 <= position < len(self):
            raise IndexError(position)
        start, end = int(self._offsets[position]), int(self._offsets[position + 1])
        try:
            return Passage.model_validate_json(self._lines[start:end])
        except ValidationError as error:
            raise Conflict(f"{PASSAGES}:{position + 1} is not a passage ({error.errors()[0]['msg']}); index the passages again") from error

    def titled(self, title: str) -> list[int]:
        """Positions of the passages that bear `title`, whatever its case and punctuation, in order."""
        key = name_key(title)
        return [row for row in self._titles.rows(title) if name_key(self[row].title) == key]

    def named(self, name: str) -> list[int]:
        """Positions of the passages that a text may mean by `name`: as `titled`, and titles of which an addition in brackets is left out."""
        return self._titles.rows(name)
