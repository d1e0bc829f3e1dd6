"""NumPy arrays as files: written whole or not at all, read without being held in memory."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from askback.contracts.errors import Conflict

Array = npt.NDArray[Any]
Hashes = npt.NDArray[np.uint64]


def write_array(path: Path, array: Array) -> None:
    """`array` in NumPy's format at `path`, which never holds a half-written one."""
    aside = path.with_name(f"{path.name}.part")
    with aside.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    aside.replace(path)


def map_new(path: Path, dtype: npt.DTypeLike, length: int) -> Any:
    """A new file of one row at `path`, mapped, to be filled in any order and then flushed."""
    mapped: Any = np.lib.format.open_memmap(path, "w+", dtype, (length,))  # type: ignore[no-untyped-call]
    return mapped


def open_array(path: Path, dtype: npt.DTypeLike) -> Array:
    """The array at `path`, mapped and read-only; raises Conflict when it is missing, cut, or not one row of `dtype`."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Conflict(f"{path.name} cannot be read; index the passages again") from error
    if array.dtype != np.dtype(dtype) or array.ndim != 1:
        raise Conflict(f"{path.name} holds {array.dtype} of shape {array.shape}, not one row of {np.dtype(dtype)}; index the passages again")
    return np.asarray(array)  # a plain array over the same pages, which is quicker to slice than a memmap


def hashes(texts: Iterable[str]) -> Hashes:
    """64 bits that stand for each text; two of 5 million texts share them once in a million corpora."""
    return np.fromiter((hash_of(text) for text in texts), np.uint64)


def hash_of(text: str) -> int:
    """The 64 bits of one text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
