"""Which passages a name stands for: sorted hashes on disk, mapped. A title in brackets' company, `Ed Wood (film)`, is found without them too."""

import re
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from askback.contracts.errors import Conflict
from services.retriever.storage.arrays import hash_of, open_array, write_array

_KEYS, _ROWS = "titles.hash.npy", "titles.row.npy"
_WORD = re.compile(r"\w+")
_ADDITION = re.compile(r"\s*\([^()]*\)\s*$")


def name_key(name: str) -> str:
    """What two names must share to be the same one: their words, whatever the case and whatever stands between them."""
    return " ".join(_WORD.findall(name.casefold())) or name


class TitleKeys:
    """The names of passages as they are read, 12 to 24 bytes a passage, until they are written as one look-up."""

    def __init__(self) -> None:
        self._keys, self._rows = array("Q"), array("I")

    @classmethod
    def of(cls, titles: Iterable[str]) -> "TitleKeys":
        keys = cls()
        for row, title in enumerate(titles):
            keys.add(row, title)
        return keys

    def add(self, row: int, title: str) -> None:
        """Let `title`, and what is left of it without an addition in brackets, stand for the passage at `row`."""
        for name in {name_key(title), name_key(_ADDITION.sub("", title) or title)}:
            self._keys.append(hash_of(name))
            self._rows.append(row)

    def write(self, folder: Path, kept: np.ndarray | None = None) -> None:
        """Write the look-up; `kept` says by row which passages stay, and later ones move up."""
        keys, rows = np.frombuffer(self._keys, np.uint64), np.frombuffer(self._rows, np.uint32)
        if kept is not None and not kept.all():
            stay = kept[rows]
            keys, rows = keys[stay], (np.cumsum(kept) - 1).astype(np.uint32)[rows[stay]]
        order = np.lexsort((rows, keys))
        write_array(folder / _KEYS, keys[order])
        write_array(folder / _ROWS, rows[order])


class TitleFile:
    """The look-up of one folder."""

    def __init__(self, folder: Path, count: int) -> None:
        """Raises Conflict when it is missing, cut, or of other than `count` passages."""
        self._keys, self._rows = open_array(folder / _KEYS, np.uint64), open_array(folder / _ROWS, np.uint32)
        if len(self._keys) != len(self._rows) or not count <= len(self._keys) <= 2 * count:
            raise Conflict(f"{_KEYS} holds {len(self._keys)} names for {count} passages; index the passages again")

    def rows(self, name: str) -> list[int]:
        """Positions of the passages that `name` may stand for, in order. Two names that share 64 bits are told apart by nobody."""
        key = np.uint64(hash_of(name_key(name)))
        first, last = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        rows: list[int] = self._rows[first:last].tolist()
        return rows
