"""Tensors at fixed addresses, shared by passes of many shapes."""

from collections.abc import Hashable
from math import prod

import torch
from torch import Tensor


class TooSmall(Exception):
    """A pass is larger than the buffers, which others were recorded over."""


class StaticBuffers:
    """One flat buffer for each tensor of a pass, made for rows of `longest` tokens; a pass's tensor is a view of its start."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._flat: dict[Hashable, Tensor] = {}

    def view(self, name: Hashable, like: Tensor, length: int) -> Tensor:
        """The buffer `name` in the shape and dtype of `like`, of a pass over `length` tokens a row; its values are left from the pass before.

        Raises TooSmall where the buffer is there and has less room.
        """
        key = name, like.dtype
        if key not in self._flat:
            most = prod(max(size, self._longest) if size == length else size for size in like.shape)
            self._flat[key] = torch.zeros(most, dtype=like.dtype, device=like.device)
        if self._flat[key].numel() < like.numel():
            raise TooSmall
        return self._flat[key][: like.numel()].view(like.shape)

    def drop(self) -> None:
        """Forget all buffers; the next ones are made for the passes that come then."""
        self._flat.clear()
