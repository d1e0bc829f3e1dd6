"""The card that this process trains on, and what it has to give."""

import os
import resource
from typing import TypeVar

import torch

GIB = 2**30
T = TypeVar("T")


def on_gpu() -> bool:
    return bool(torch.cuda.is_available())


def cards() -> int:
    """Cards that this process can see."""
    return int(torch.cuda.device_count())


def is_first() -> bool:
    """Whether this is the only process of the job, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def use_card(most_gb: float | None) -> None:
    """Take the card of this process (one per local rank); `most_gb` is the most of its memory that may be used, in units of 10⁹ bytes."""
    if not on_gpu():
        return
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if most_gb is not None:
        whole = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, most_gb * 1e9 / whole))


def card_bytes(most_gb: float | None) -> float:
    """Bytes of the card that this process may hold: what it holds and what is free, within `most_gb`."""
    free, _ = torch.cuda.mem_get_info()
    there = float(free + torch.cuda.memory_reserved())
    return there if most_gb is None else min(there, most_gb * 1e9)


def outside_bytes() -> float:
    """Bytes of the card that are taken outside of this process's own count: by its driver, and by others."""
    free, whole = torch.cuda.mem_get_info()
    return float(whole - free - torch.cuda.memory_reserved())


def on_every_card(value: T) -> T:
    """The first card's `value`, on each of the cards that train together."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    sent = [value]
    torch.distributed.broadcast_object_list(sent)
    return sent[0]


def peak_memory_gib() -> float:
    """Most memory that this process has held: of the card on a GPU, else of the machine."""
    if on_gpu():
        return float(torch.cuda.max_memory_reserved()) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def device_name() -> str:
    """The card's name, or "cpu"."""
    return str(torch.cuda.get_device_name()) if on_gpu() else "cpu"
