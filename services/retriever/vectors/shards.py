"""The vectors that a build reads: .npy files in order, mapped and never held whole."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from askback.contracts.errors import InvalidInput
from services.retriever.shapes import Vectors

Positions = npt.NDArray[np.int64]
_FINGERPRINTED = 64


class Shards:
    """Float16 or float32 rows of unit length over several files; a row's position counts through them. Raises InvalidInput for other files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        if not paths:
            raise InvalidInput("shards: none given; embed the passages first")
        self._arrays = [_mapped(path) for path in paths]
        self._starts = np.cumsum([0, *(len(array) for array in self._arrays)])
        widths = {array.shape[1] for array in self._arrays}
        if len(widths) > 1 or not self.count:
            raise InvalidInput(f"shards: {self.count} vectors of {sorted(widths)} dimensions; one dimension and at least one vector are needed")

    @property
    def count(self) -> int:
        return int(self._starts[-1])

    @property
    def dimension(self) -> int:
        return int(self._arrays[0].shape[1])

    def rows(self, positions: Positions) -> Vectors:
        """The vectors at ascending `positions`, float32."""
        cuts = np.searchsorted(positions, self._starts)
        parts = [
            array[positions[low:high] - start].astype(np.float32)
            for array, start, low, high in zip(self._arrays, self._starts, cuts[:-1], cuts[1:], strict=False)
        ]
        return np.concatenate(parts)

    def blocks(self, size: int, start: int = 0) -> Iterator[tuple[int, Vectors]]:
        """(position of the first, float32 vectors) of `size` at a time, from `start` on."""
        for low in range(start, self.count, size):
            yield low, self.rows(np.arange(low, min(low + size, self.count)))

    def fingerprint(self) -> str:
        """SHA-256 of the shapes and of a few rows of every file: enough to tell one build's vectors from another's."""
        digest = sha256()
        for array in self._arrays:
            digest.update(f"{array.shape} {array.dtype}".encode())
            if len(array):
                digest.update(array[np.linspace(0, len(array) - 1, min(_FINGERPRINTED, len(array))).astype(int)].tobytes())
        return digest.hexdigest()


def sample(count: int, size: int, seed: int) -> Positions:
    """min(size, count) different positions below `count`, ascending."""
    return np.sort(np.random.default_rng(seed).choice(count, min(size, count), replace=False).astype(np.int64))


def _mapped(path: Path) -> Any:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"shards: {path.name} is not a .npy file of vectors ({error}); embed its passages again") from error
    if array.ndim != 2 or array.dtype not in (np.float16, np.float32):
        raise InvalidInput(f"shards: {path.name} holds {array.dtype} of shape {array.shape}; float16 or float32 rows are needed")
    return array
