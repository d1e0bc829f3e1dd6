"""SFT and DPO by TRL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from askback.contracts.trainer import Method, Recipe, TrainRequest
from services.trainer.learning.reporting import prepare
from services.trainer.rows.dataset import Row
from services.trainer.rows.length_groups import LengthGroups

PADDING = 8
"""Passes that are replayed have lengths of a multiple of this many tokens, which attention kernels like as well."""
CHECKPOINTS = 0.1
"""Share of the steps after which a checkpoint is written: an interruption costs a tenth of a job at the most."""


def build_trainer(
    request: TrainRequest, model: Any, peft_config: Any | None, tokenizer: Any, rows: Sequence[Row], callbacks: list[Any], output: Path, gpu: bool
) -> Any:
    """A trainer over `rows`. `peft_config` makes a fresh adapter; None trains the one that `model` has.

    DPO compares with the model it starts from: the base for a fresh adapter, else a frozen copy of the adapter.
    """
    method = {Method.SFT: _sft, Method.DPO: _dpo}[request.method]
    trainer_class, arguments = method(request.recipe, _common(request, output, gpu))
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list([row.columns() for row in rows]),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=callbacks,
    )
    trainer.step_rows = step_rows(request.recipe)
    if not request.recipe.sharded:  # which wants one dtype in all that it shards together
        _in_full_precision(trainer.model)
    regroup(trainer, *as_written(request.recipe))
    return trainer


def _in_full_precision(model: Any) -> None:
    """Undo TRL's cast of an adapter over NF4 to bf16.

    AdamW keeps its moments in the weights' dtype, and bf16 has no number between 0.996 and 1: a second moment that should shrink by a
    thousandth a step would never shrink.
    """
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def regroup(trainer: Any, micro_batch: int, gradient_accumulation: int) -> None:
    """Train steps of `gradient_accumulation` passes over `micro_batch` rows on each card."""
    trainer.args.per_device_train_batch_size = trainer._train_batch_size = micro_batch
    trainer.args.gradient_accumulation_steps = gradient_accumulation


def pad_lengths(trainer: Any) -> int:
    """Pad passes to few different lengths from now on, about 16 up to the longest row's; returns that one, padded.

    Padding carries no loss and is looked at by no token.
    """
    longest = max(row_lengths(trainer.train_dataset))
    multiple = _rounded_up(longest // 16, PADDING)
    trainer.data_collator.pad_to_multiple_of = multiple
    return _rounded_up(longest, multiple)


def _rounded_up(number: int, multiple: int) -> int:
    return max(1, -(-number // multiple)) * multiple


def gathered_weights(trainer: Any) -> Any | None:
    """The state of a sharded model, put together; None where each card has the whole model. Every process of the job must call it."""
    return trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None


def step_rows(recipe: Recipe) -> int:
    """Rows of one step on all cards together."""
    return recipe.batch_size * recipe.gradient_accumulation


def as_written(recipe: Recipe) -> tuple[int, int]:
    """(rows of one pass on one card, passes of one step) where nothing is fitted: the recipe's, its rows shared by its cards."""
    share = step_rows(recipe) // recipe.gpus
    micro = next(size for size in range(min(recipe.batch_size, share), 0, -1) if share % size == 0)
    return micro, share // micro


def row_lengths(dataset: Any) -> list[int]:
    """Tokens of each row of a TRL dataset, of the longer reply where there are two."""
    if "input_ids" in dataset.column_names:
        return [len(ids) for ids in dataset["input_ids"]]
    columns = (dataset[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return [len(prompt) + max(len(chosen), len(rejected)) for prompt, chosen, rejected in zip(*columns, strict=True)]


class _Grouped:
    """Rows in the order of `LengthGroups`, by steps and not by passes."""

    train_dataset: Any
    args: Any
    state: Any
    step_rows: int

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroups(row_lengths(dataset), self.step_rows, self.args.seed, lambda: int((self.state.epoch or 0) + 1e-6))


class GroupedSFTTrainer(_Grouped, SFTTrainer):  # type: ignore[misc]
    pass


class GroupedDPOTrainer(_Grouped, DPOTrainer):  # type: ignore[misc]
    pass


def _sft(recipe: Recipe, common: dict[str, Any]) -> tuple[Any, Any]:
    return GroupedSFTTrainer, SFTConfig(**common, completion_only_loss=True)


def _dpo(recipe: Recipe, common: dict[str, Any]) -> tuple[Any, Any]:
    return GroupedDPOTrainer, DPOConfig(**common, beta=recipe.dpo_beta, loss_type=["sigmoid", "sft"], loss_weights=[1.0, recipe.dpo_sft_weight])


def _common(request: TrainRequest, output: Path, gpu: bool) -> dict[str, Any]:
    recipe = request.recipe
    return {
        "output_dir": str(output),
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "max_length": recipe.max_length,
        # Layers save as the fit has it; only a sharded model leaves it to TRL.
        "gradient_checkpointing": recipe.sharded and recipe.gradient_checkpointing is not False,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,  # below 1 it is a share of all steps
        "bf16": gpu or recipe.four_bit,
        "use_cpu": not gpu,
        "seed": request.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would hide a diverged step behind the running mean
        "save_strategy": "steps",
        "save_steps": CHECKPOINTS,
        "save_total_limit": 1,
        "eval_strategy": "no",
        "report_to": prepare(recipe.report_to, output.with_name("tensorboard")) or "none",
        "run_name": f"{request.run_id}/{request.name}",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": gpu,
        "ddp_find_unused_parameters": False,
    }
