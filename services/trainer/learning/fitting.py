"""Make a job's trainer fit the device: written-out passes where they hold, and on a GPU the plan of the fit."""

import logging
from typing import Any

from askback.contracts.trainer import FitPlan, Recipe
from services.trainer.learning.fit.layer_savings import LayerSavings
from services.trainer.learning.fit.planner import planned
from services.trainer.learning.fit.torch_probe import TorchProbe
from services.trainer.learning.trl_trainers import pad_lengths, regroup, row_lengths, step_rows
from services.trainer.model.fused import embed_on_host, fuse_layers, fuse_mlps, shorten_walks, unpack_scales
from services.trainer.model.replayed import CudaRecorder, Replays, replay_layers
from services.trainer.model.torch_card import card_bytes, on_every_card, on_gpu

log = logging.getLogger(__name__)

EMBEDDING_SHARE = 0.1
"""Share of the card from which an embedding is moved to the host: a pass waits some milliseconds for it there."""
WORTH = 1.01
"""How many times as fast passes must be by themselves to be left alone."""


def fit(trainer: Any, recipe: Recipe, known: FitPlan | None, most_gb: float | None, replay: bool = True) -> FitPlan | None:
    """Change `trainer` in place; returns the plan, `known` where the job has one already, or None where nothing was fitted.

    `replay` allows passes to be recorded and replayed.
    """
    if recipe.sharded:
        return None  # its layers hold shards of their weights, which only its own hooks put together
    if on_gpu() and recipe.fit:
        unpack_scales(trainer.model)
        if embed_on_host(trainer.model, EMBEDDING_SHARE * card_bytes(most_gb)):
            log.info("the embedding stays in the host's memory")
    shorten_walks(trainer)
    fused = fuse_layers(trainer.model)
    savings = LayerSavings(trainer.model, fuse_mlps(trainer.model), random=recipe.lora_dropout > 0)
    log.info("%d LoRA layers by their own passes, %d decoder layers", fused, savings.ladder.layers)
    if not (recipe.fit and on_gpu()):
        if recipe.gradient_checkpointing:
            savings.apply(savings.ladder.top)
        return None
    replays = _replays(trainer, savings) if replay and (known is None or known.replayed) else None
    plan = known or _agreed(trainer, recipe, savings, replays, most_gb)
    log.info("fit: %s", plan.reason)
    if not plan.replayed:
        trainer.data_collator.pad_to_multiple_of = None
    savings.apply_counts(plan.layers)
    regroup(trainer, plan.micro_batch, plan.gradient_accumulation)
    return plan


def _replays(trainer: Any, savings: LayerSavings) -> Replays | None:
    """Let the decoder layers be replayed, where the model allows it and no other process takes part in their gradients."""
    if trainer.accelerator.num_processes > 1:
        return None
    longest = pad_lengths(trainer)
    replays = replay_layers(trainer.model, savings.layers, CudaRecorder(), lambda: savings.rung, longest)
    if replays is None:
        trainer.data_collator.pad_to_multiple_of = None
    return replays


def _agreed(trainer: Any, recipe: Recipe, savings: LayerSavings, replays: Replays | None, most_gb: float | None) -> FitPlan:
    """The first card's plan, which all cards of the job follow; raises on every card what it raises there."""
    found: FitPlan | Exception | None = None
    if trainer.accelerator.is_main_process:
        bounds = {True: (savings.ladder.top,) * 2, False: (0, 0), None: (0, savings.ladder.top)}[recipe.gradient_checkpointing]
        try:
            with TorchProbe(trainer, savings, replays, row_lengths(trainer.train_dataset), card_bytes(most_gb)) as probe:
                found = planned(step_rows(recipe) // recipe.gpus, probe, bounds)
                if replays and replays.on:
                    found = _told(found, probe, savings, replays)
        except Exception as error:  # the other cards wait for an answer, whatever it is
            found = error
    found = on_every_card(found)
    if isinstance(found, FitPlan):
        return found
    raise found or RuntimeError("the first card sent no plan")


def _told(plan: FitPlan, probe: TorchProbe, savings: LayerSavings, replays: Replays) -> FitPlan:
    """`plan` with its passes replayed, or not, where a card that never waits for the host loses more to padding."""
    savings.apply_counts(plan.layers)
    alone = plan.micro_batch / probe.unreplayed_seconds(plan.micro_batch, savings.rung)
    if alone > WORTH * plan.rows_per_s:
        replays.on = False
        return plan.model_copy(update={"rows_per_s": round(alone, 2), "reason": f"{plan.reason}; not replayed: {alone:.1f} rows/s"})
    return plan.model_copy(update={"replayed": True, "reason": f"{plan.reason}; replayed: without it {alone:.1f} rows/s"})
