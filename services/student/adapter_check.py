"""Whether the engine could serve a folder as a LoRA adapter. What it cannot is refused here, with the reason."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from askback.contracts.errors import InvalidInput
from services.student.adapter_weights import check_lora

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS)
"""All that an adapter needs."""
LONGEST_CONFIG = 2**20
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


class _Config(BaseModel):
    """The part of PEFT's configuration that the engine reads, or that would change what the weights mean."""

    peft_type: str = "LORA"
    base_model_name_or_path: str
    r: int = Field(ge=1, strict=True)
    bias: str = "none"
    use_dora: bool = False
    lora_bias: bool = False
    init_lora_weights: bool | str | None = True
    modules_to_save: Any = None
    rank_pattern: Any = None
    alpha_pattern: Any = None
    layer_replication: Any = None
    trainable_token_indices: Any = None


_UNSERVED = ("use_dora", "lora_bias", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication", "trainable_token_indices")
_INNOCENT_STARTS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga", "true", "false"}  # the base model's weights stay as they were


def check_adapter(folder: Path, base_model: str, max_rank: int) -> None:
    """Raise InvalidInput when vLLM could not serve the LoRA adapter in `folder` on `base_model`."""
    for name in FILES:
        if not (folder / name).is_file():
            raise InvalidInput(_missing(folder, name))
    config = _read(folder)
    if config.peft_type != "LORA" or config.bias != "none":
        raise InvalidInput(f"path: {folder.name} is {config.peft_type} with bias {config.bias!r}; the engine serves plain LoRA")
    if Path(config.base_model_name_or_path).name != Path(base_model).name:
        raise InvalidInput(f"path: {folder.name} was trained on {config.base_model_name_or_path!r}, and the engine serves {base_model!r}")
    if config.r > max_rank:
        raise InvalidInput(f"path: {folder.name} has rank {config.r}, and the engine serves ranks up to {max_rank}")
    for field in _UNSERVED:
        if getattr(config, field):
            raise InvalidInput(f"path: {folder.name} sets {field}, which the engine cannot serve")
    if isinstance(config.init_lora_weights, str) and config.init_lora_weights.lower() not in _INNOCENT_STARTS:
        raise InvalidInput(f"path: {folder.name} sets init_lora_weights to {config.init_lora_weights!r}, which changes the base model's weights")
    check_lora(folder / WEIGHTS, config.r)


def _missing(folder: Path, name: str) -> str:
    pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
    text = f"path: {folder.name} has no {name}; adapters are PEFT folders with safetensors weights"
    return f"{text}, and {pickles[0]} is not read, because pickles can run code" if pickles and name == WEIGHTS else text


def _read(folder: Path) -> _Config:
    path = folder / CONFIG
    if path.stat().st_size > LONGEST_CONFIG:
        raise InvalidInput(f"path: {CONFIG} in {folder.name} is larger than {LONGEST_CONFIG} bytes")
    try:
        return _Config.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"path: {CONFIG} in {folder.name}: {first['loc'][0] if first['loc'] else 'file'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"path: {CONFIG} in {folder.name} is not JSON: {error}") from error
