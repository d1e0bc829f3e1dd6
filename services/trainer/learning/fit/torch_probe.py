"""Passes of a TRL trainer's own loss over its own rows on the GPU, measured and leaving no trace."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

from services.trainer.learning.fit.layer_savings import LayerSavings

MARGIN = 0.03
LEAST_MARGIN = 256 * 2**20
"""Share and least bytes of the card's memory that a plan leaves free, for what fragments and for the kernels' own needs."""
TIMED = 3


class TorchProbe:
    """`planner.Probe` for `trainer`, whose rows have `lengths` tokens, on a card that may be used up to `card_bytes`."""

    def __init__(self, trainer: Any, savings: LayerSavings, lengths: Sequence[int], card_bytes: float) -> None:
        self.ladder = savings.ladder
        self._trainer, self._savings = trainer, savings
        self._by_length = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        optimizer = sum(2 * weight.numel() * weight.element_size() for weight in trained)  # AdamW's two moments come with the first step
        self.budget = card_bytes - max(LEAST_MARGIN, MARGIN * card_bytes) - optimizer

    def needed(self, rows: int, rung: int) -> float | None:
        return float(torch.cuda.max_memory_allocated()) if self._fits(rows, rung) else None

    def peak(self, rows: int, rung: int) -> float | None:
        return float(torch.cuda.max_memory_reserved()) if self._fits(rows, rung) else None

    def _fits(self, rows: int, rung: int) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            self._pass(self._taken(rows, 0), rung)
        except torch.OutOfMemoryError:
            return False
        finally:
            self._trainer.model.zero_grad(set_to_none=False)
        return True

    def seconds(self, rows: int, rung: int) -> float:
        middle = self._taken(rows, max(0, (len(self._by_length) - rows) // 2))
        self._pass(middle, rung)
        took = []
        for _ in range(TIMED):
            begun = time.perf_counter()
            self._pass(middle, rung)
            took.append(time.perf_counter() - begun)
        return median(took)

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
        self._trainer.model.zero_grad(set_to_none=True)
        self._trainer._metrics["train"].clear()
        self._trainer._total_train_tokens = 0
        torch.set_rng_state(self._random[0])
        torch.cuda.set_rng_state(self._random[1])
        torch.cuda.empty_cache()
