"""Passes of a TRL trainer's own loss over its own rows on the GPU, measured and leaving no trace."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from statistics import median
from typing import Any

import torch

from services.trainer.learning.fit.layer_savings import LayerSavings
from services.trainer.model.replayed import MOST, Replays
from services.trainer.model.torch_card import outside_bytes

MARGIN = 0.03
LEAST_MARGIN = 256 * 2**20
"""Share and least bytes of the card's memory that a plan leaves free, for what fragments and for the kernels' own needs."""
TIMED = 3


class TorchProbe:
    """`planner.Probe` for `trainer`, whose rows have `lengths` tokens, on a card that may be used up to `card_bytes`."""

    def __init__(self, trainer: Any, savings: LayerSavings, replays: Replays | None, lengths: Sequence[int], card_bytes: float) -> None:
        self.ladder = savings.ladder
        self._trainer, self._savings, self._replays = trainer, savings, replays
        multiple = trainer.data_collator.pad_to_multiple_of or 1
        self._recordings = min(MOST, len({-(-length // multiple) for length in lengths}))
        self._by_length = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        optimizer = sum(2 * weight.numel() * weight.element_size() for weight in trained)  # AdamW's two moments come with the first step
        self.budget = card_bytes - max(LEAST_MARGIN, MARGIN * card_bytes) - optimizer

    def needed(self, rows: int, rung: int) -> float | None:
        with self._replays.paused() if self._replays else nullcontext():
            return float(torch.cuda.max_memory_allocated()) if self._fits(self._taken(rows, 0), rung) else None

    def peak(self, rows: int, rung: int) -> float | None:
        replaying = self._replaying()
        if not self._fits(self._taken(rows, 0), rung):
            return None
        if replaying and not self._replaying():
            return self.peak(rows, rung)  # without what the attempt to record took
        graphs = self._graphs(rows, rung)
        return float(torch.cuda.max_memory_reserved()) + graphs

    def _replaying(self) -> bool:
        return self._replays is not None and self._replays.on

    def _graphs(self, rows: int, rung: int) -> float:
        """Bytes that the driver will take for the recordings of other lengths, by what it takes for that of the shortest rows."""
        if not self._replaying() or self._recordings == 1:
            return 0.0
        before = outside_bytes()
        try:
            self._pass(self._taken(rows, max(0, len(self._by_length) - rows)), rung)
        except torch.OutOfMemoryError:
            return float("inf")
        finally:
            self._trainer.model.zero_grad(set_to_none=False)
        return max(0.0, outside_bytes() - before) * (self._recordings - 1)

    def _fits(self, rows: list[int], rung: int) -> bool:
        self._drop()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            self._pass(rows, rung)
        except torch.OutOfMemoryError:
            return False
        finally:
            self._trainer.model.zero_grad(set_to_none=False)
        return True

    def _drop(self) -> None:
        """Give up what earlier candidates recorded."""
        if self._replays:
            self._replays.drop()

    def seconds(self, rows: int, rung: int) -> float:
        middle = self._taken(rows, max(0, (len(self._by_length) - rows) // 2))
        self._pass(middle, rung)
        took = []
        for _ in range(TIMED):
            begun = time.perf_counter()
            self._pass(middle, rung)
            took.append(time.perf_counter() - begun)
        return median(took)

    def unreplayed_seconds(self, rows: int, rung: int) -> float:
        """`seconds` without padding or replays; infinite when memory runs out."""
        if self._replays is None:
            return self.seconds(rows, rung)
        collator = self._trainer.data_collator
        padding, collator.pad_to_multiple_of = collator.pad_to_multiple_of, None
        self._drop()
        torch.cuda.empty_cache()
        try:
            with self._replays.paused():
                return self.seconds(rows, rung)
        except torch.OutOfMemoryError:
            return float("inf")
        finally:
            collator.pad_to_multiple_of = padding

    def _taken(self, rows: int, start: int) -> list[int]:
        chosen = self._by_length[start : start + rows]
        return (chosen * (rows // len(chosen) + 1))[:rows]

    def _pass(self, rows: list[int], rung: int) -> None:
        trainer = self._trainer
        self._savings.apply(rung)
        batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[row] for row in rows]))
        with torch.autocast("cuda", torch.bfloat16):
            loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        torch.cuda.synchronize()

    def __enter__(self) -> "TorchProbe":
        self._random = torch.get_rng_state(), torch.cuda.get_rng_state()
        self._trainer.model.train()
        # TRL gathers its counts from all cards of a job, while only this one runs passes.
        self._trainer.accelerator.gather_for_metrics = lambda counted, *_: counted
        return self

    def __exit__(self, *_: object) -> None:
        """Take back what passes leave in a TRL trainer: gradients, counts and random states."""
        del self._trainer.accelerator.gather_for_metrics
        self._drop()
        self._trainer.model.zero_grad(set_to_none=True)
        self._trainer._metrics["train"].clear()
        self._trainer._total_train_tokens = 0
        torch.set_rng_state(self._random[0])
        torch.cuda.set_rng_state(self._random[1])
        torch.cuda.empty_cache()
