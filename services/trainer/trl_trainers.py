"""SFT and DPO by TRL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from askback.contracts.trainer import Method, Recipe, TrainRequest
from services.trainer.dataset import Row


def build_trainer(
    request: TrainRequest, model: Any, peft_config: Any | None, tokenizer: Any, rows: Sequence[Row], callbacks: list[Any], output: Path, gpu: bool
) -> Any:
    """A trainer over `rows`. `peft_config` makes a fresh adapter; None trains the one that `model` has.

    DPO compares with the model it starts from: the base for a fresh adapter, else a frozen copy of the adapter.
    """
    method = {Method.SFT: _sft, Method.DPO: _dpo}[request.method]
    trainer_class, arguments = method(request.recipe, _common(request, output, gpu))
    return trainer_class(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list([row.columns() for row in rows]),
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=callbacks,
    )


def _sft(recipe: Recipe, common: dict[str, Any]) -> tuple[Any, Any]:
    return SFTTrainer, SFTConfig(**common, completion_only_loss=True)


def _dpo(recipe: Recipe, common: dict[str, Any]) -> tuple[Any, Any]:
    return DPOTrainer, DPOConfig(**common, beta=recipe.dpo_beta, loss_type=["sigmoid", "sft"], loss_weights=[1.0, recipe.dpo_sft_weight])


def _common(request: TrainRequest, output: Path, gpu: bool) -> dict[str, Any]:
    recipe = request.recipe
    return {
        "output_dir": str(output),
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation,
        "max_length": recipe.max_length,
        "gradient_checkpointing": bool(recipe.gradient_checkpointing),
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.03,  # below 1 it is a share of all steps
        "bf16": gpu or recipe.four_bit,
        "use_cpu": not gpu,
        "seed": request.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would hide a diverged step behind the running mean
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": gpu,
    }
