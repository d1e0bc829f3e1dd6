"""An adapter's sum with its base, as whole weights. Imports torch and its kin, so only the merging process imports this."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from askback.contracts.errors import InvalidInput
from services.trainer.model.peft_adapter import merged

SHARD = "4GB"


def write_whole_model(base_model: str, adapter: Path, target: Path) -> dict[str, Any]:
    """Write `base_model` plus the adapter of the folder `adapter` in bf16 into `target`, with the tokenizer; returns what is told of it.

    It is added up on the CPU and to the weights that the base was published with: what is rounded to NF4 is not the base any more.
    Raises InvalidInput for a base that is quantised where it lies.
    """
    refuse_quantised(base_model, AutoConfig.from_pretrained(base_model))
    base = AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.bfloat16)
    commit_hash = getattr(base.config, "_commit_hash", None) or ""
    whole = merged(base, adapter)
    whole.save_pretrained(target, max_shard_size=SHARD)
    AutoTokenizer.from_pretrained(base_model).save_pretrained(target)
    return {"commit_hash": commit_hash, "dtype": "bfloat16", "parameters": whole.num_parameters()}


def refuse_quantised(base_model: str, config: Any) -> None:
    """Raises InvalidInput for the config of a model whose weights are quantised on the disk."""
    if getattr(config, "quantization_config", None):
        raise InvalidInput(f"BASE_MODEL: {base_model} is quantised, and an adapter is merged into whole weights alone; keep it as an adapter")
