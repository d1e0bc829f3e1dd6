"""Whether a model's decoder layers can be recorded at all."""

from collections.abc import Sequence
from typing import Any

import torch

from services.trainer.model.fused.lora_layer import lora_layers, operands

ATTENTION = ("sdpa", "eager")
"""Implementations that ask the card for nothing on the way; FlashAttention 2 counts the tokens of a padded pass on the host."""


def obstacle(model: Any, layers: Sequence[Any]) -> str:
    """What keeps `layers` of `model` from being recorded, or an empty text."""
    inside = [weight for layer in layers for weight in layer.parameters() if weight.requires_grad]
    trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
    attention = getattr(model.config, "_attn_implementation", None)
    if not inside:
        return "no decoder layer is trained"
    if len(inside) != len(trained) or {id(weight) for weight in inside} != trained:
        return "weights outside the decoder layers are trained, or layers share some"
    if any(operands(lora) is None for layer in layers for lora in lora_layers(layer)):
        return "an adapter has dropout, or is none of LoRA's plain ones"
    if any(_draws(module) for layer in layers for module in layer.modules()):
        return "the layers draw random numbers"
    if attention not in ATTENTION:
        return f"attention by {attention} cannot be recorded"
    return ""


def hooked(layers: Sequence[Any]) -> bool:
    """Whether something listens to what happens inside the layers, which a replay would not tell."""
    return any(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks for layer in layers for module in layer.modules())


def _draws(module: Any) -> bool:
    if isinstance(module, torch.nn.Dropout):
        return bool(module.p > 0)
    chance = getattr(module, "attention_dropout", 0.0)
    return isinstance(chance, float) and chance > 0
