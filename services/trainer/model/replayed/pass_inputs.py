"""What a decoder layer is called with beside its hidden states: told apart, taken apart and put together again."""

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

Path = tuple[Hashable, ...]


class Unknown(Exception):
    """A value that cannot be recorded: neither a tensor on the pass's device without gradient, nor a plain constant, nor a tuple of these."""


def signature(value: Any, device: torch.device) -> Hashable:
    """All of `value` but the numbers in its tensors; raises Unknown for what has no signature."""
    if isinstance(value, Tensor):
        if value.device != device or value.requires_grad:
            raise Unknown("a tensor elsewhere, or with gradient")
        return tuple(value.shape), value.dtype
    if isinstance(value, tuple):
        return tuple(signature(one, device) for one in value)
    if isinstance(value, dict):
        return tuple((name, signature(one, device)) for name, one in value.items())
    if value is None or isinstance(value, (bool, int, float, str)):
        return type(value).__name__, value
    raise Unknown(type(value).__name__)


def tensors(value: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """(where it lies, tensor) for every tensor of `value`, always in the same order."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, (tuple, dict)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from tensors(one, (*path, key))


def filled(value: Any, by: Iterator[Tensor]) -> Any:
    """`value` with its tensors replaced, in the order of `tensors`."""
    if isinstance(value, Tensor):
        return next(by)
    if isinstance(value, tuple):
        return tuple(filled(one, by) for one in value)
    if isinstance(value, dict):
        return {name: filled(one, by) for name, one in value.items()}
    return value


def same(value: Any, other: Any) -> bool:
    """Whether both are one and the same: tensors by identity, constants by value."""
    if value is other:
        return True
    if isinstance(value, Tensor) or isinstance(other, Tensor) or type(value) is not type(other):
        return False
    if isinstance(value, tuple):
        return len(value) == len(other) and all(same(*pair) for pair in zip(value, other, strict=True))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(same(one, other[name]) for name, one in value.items())
    return bool(value == other)
