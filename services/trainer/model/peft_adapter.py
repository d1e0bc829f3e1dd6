"""LoRA adapters by PEFT."""

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel

from askback.contracts.trainer import Recipe

NAME = "default"  # TRL takes the DPO reference from the adapter of this name


def lora_config(recipe: Recipe) -> Any:
    """LoRA on every linear layer but the output head."""
    return LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, lora_dropout=recipe.lora_dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def with_adapter(base: Any, folder: Path) -> Any:
    """`base` with the trainable adapter of `folder`; its rank and alpha stand as they were trained."""
    return PeftModel.from_pretrained(base, folder, adapter_name=NAME, is_trainable=True)


def save_adapter(model: Any, folder: Path, base_model: str, weights: Any | None = None) -> None:
    """Write adapter_model.safetensors and adapter_config.json of the policy alone, not of DPO's reference.

    `weights` is the state of a model whose cards hold a share each.
    """
    model.peft_config[NAME].base_model_name_or_path = base_model
    model.save_pretrained(folder, selected_adapters=[NAME], save_embedding_layers=False, state_dict=weights)
    (folder / "README.md").unlink(missing_ok=True)


def merged(base: Any, folder: Path) -> Any:
    """`base`, which it changes, with the adapter of `folder` added to its weights; raises ValueError when a weight is no finite number."""
    return PeftModel.from_pretrained(base, folder, adapter_name=NAME).merge_and_unload(safe_merge=True)
