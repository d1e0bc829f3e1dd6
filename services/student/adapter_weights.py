"""Read what a safetensors file says of itself, and whether it holds the LoRA matrices that its configuration promises.

Only the header is read: eight bytes of its length, then JSON with each tensor's type, shape and place. Nothing in it can be run.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput

_LONGEST_HEADER = 16 * 2**20  # a LoRA of all layers of a 70 B model needs less than one MiB
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_MATRIX = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.[^.]+)?\.weight")


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """First byte, counted from the end of the header."""
    end: int


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name; raises InvalidInput saying why it is none."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise _refused(path, f"its header would be {length} bytes long, and the file has {size}")
        raw = stream.read(length)
    try:
        entries = json.loads(raw)
        entries.pop("__metadata__", None)
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _refused(path, f"its header is not a table of tensors ({type(error).__name__})") from error
    _check_places(path, tensors, size - 8 - length)
    return tensors


def _tensor(entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    numbers = (*entry["shape"], begin, end)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError
    return Tensor(str(entry["dtype"]), tuple(entry["shape"]), begin, end)


def _check_places(path: Path, tensors: dict[str, Tensor], size: int) -> None:
    """Raises InvalidInput unless the tensors fill the file's data from end to end, each as long as its shape says."""
    reached = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].begin):
        if tensor.dtype not in _BYTES:
            raise _refused(path, f"{name} has type {tensor.dtype}; LoRA weights are {', '.join(_BYTES)}")
        if tensor.begin != reached or tensor.end - tensor.begin != math.prod(tensor.shape) * _BYTES[tensor.dtype]:
            raise _refused(path, f"the bytes of {name} are not where its header says")
        reached = tensor.end
    if reached != size:
        raise _refused(path, f"it holds {size} bytes of data, and its header tells of {reached}; was it copied whole?")


def check_lora(path: Path, rank: int) -> None:
    """Raise InvalidInput unless the file holds pairs of LoRA matrices of `rank`, and nothing else."""
    sides: dict[str, set[str]] = {}
    for name, tensor in read_header(path).items():
        matrix = _MATRIX.fullmatch(name)
        if matrix is None or len(tensor.shape) != 2:
            raise _refused(path, f"{name} is not a LoRA matrix; the engine serves lora_A and lora_B of linear layers alone")
        found = tensor.shape[0] if matrix["side"] == "A" else tensor.shape[1]
        if found != rank:
            raise _refused(path, f"{name} has rank {found}, and adapter_config.json says r = {rank}")
        sides.setdefault(matrix["module"], set()).add(matrix["side"])
    alone = [module for module, found_sides in sides.items() if found_sides != {"A", "B"}]
    if alone or not sides:
        raise _refused(path, f"{alone[0]} has only one of lora_A and lora_B" if alone else "it holds no LoRA matrix")


def _refused(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"path: {path.name} in {path.parent.name} is no safetensors file that can be served: {why}")
