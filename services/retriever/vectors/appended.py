"""A file of equal rows that only grows, so that a killed build knows how far it came."""

import os
from pathlib import Path
from typing import Any

import numpy as np


class AppendedRows:
    """Rows of `width` values of `dtype`, without a header."""

    def __init__(self, path: Path, dtype: Any, width: int) -> None:
        self._path = path
        self._dtype = np.dtype(dtype)
        self._width = width

    @property
    def count(self) -> int:
        """Whole rows; what a killed process left of a last one does not count."""
        return self._path.stat().st_size // (self._dtype.itemsize * self._width) if self._path.exists() else 0

    def truncate(self, rows: int) -> None:
        """Keep the first `rows`, which must be there."""
        self._path.touch()
        os.truncate(self._path, rows * self._dtype.itemsize * self._width)

    def append(self, rows: Any) -> None:
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())

    def read(self) -> Any:
        """All rows, mapped, of shape (count, width)."""
        return np.memmap(self._path, dtype=self._dtype, mode="r", shape=(self.count, self._width))
