"""The order of rows: steps of rows of like length, in random order, the same on every card and after every interruption."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class LengthGroups(Sampler):  # type: ignore[misc]
    """Row numbers of one epoch, grouped by the rows of a whole step: how a step is split into passes does not change what is in it.

    `epoch` is asked at the start of each epoch. The order depends on the seed and the epoch alone, so a resumed training finds its place.
    """

    def __init__(self, lengths: Sequence[int], step_rows: int, seed: int, epoch: Callable[[], int]) -> None:
        self._lengths, self._step_rows, self._seed, self._epoch = list(lengths), step_rows, seed, epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch())
        return iter(get_length_grouped_indices(self._lengths, self._step_rows, generator=generator))
