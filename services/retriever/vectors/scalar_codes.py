"""A dimension of a vector in eight bits or four: its place in the range where nearly all of that dimension's values lie."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.retriever.shapes import Vectors

Bits = Literal[4, 8]
Codes = npt.NDArray[np.uint8]
_CUT = {8: 1e-5, 4: 4e-3}
"""The share of values at either end that are cut off: a range up to the farthest value would make every step coarser."""


@dataclass(frozen=True)
class ScalarCodes:
    """`low` and `step`, float32 of shape (dimension,): code c of a dimension stands for low + c * step.

    Of four bits two dimensions share a byte: those of the first half lie in the low bits, those of the second in the high ones.
    """

    low: Vectors
    step: Vectors
    bits: Bits

    @classmethod
    def fit(cls, sample: Vectors, bits: Bits) -> "ScalarCodes":
        low, high = np.quantile(sample, (_CUT[bits], 1 - _CUT[bits]), axis=0).astype(np.float32)
        return cls(low, np.maximum((high - low) / (2**bits - 1), np.float32(1e-12)), bits)

    @property
    def width(self) -> int:
        """Bytes of a code."""
        return len(self.low) * self.bits // 8

    def encode(self, vectors: Vectors) -> Codes:
        """Of shape (n, width)."""
        codes: Codes = np.clip(np.rint((vectors - self.low) / self.step), 0, 2**self.bits - 1).astype(np.uint8)
        return codes if self.bits == 8 else np.bitwise_or(codes[:, : self.width], codes[:, self.width :] << 4, dtype=np.uint8)

    def products(self, codes: Any, query: Vectors) -> Vectors:
        """Inner products of `query`, of shape (dimension,), with the vectors that `codes` stand for."""
        # the step is multiplied into the query once, instead of into every code
        steps = query * self.step
        if self.bits == 8:
            products: Vectors = np.vecdot(codes.astype(np.float32), steps)
        else:
            products = np.vecdot((codes & 15).astype(np.float32), steps[: self.width])
            products += np.vecdot((codes >> 4).astype(np.float32), steps[self.width :])
        return products + np.float32(query @ self.low)
