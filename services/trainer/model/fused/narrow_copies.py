"""Copies of all adapters in the base's dtype, made by a few launches before each pass instead of some for each layer."""

from typing import Any

import torch
from torch import Tensor

ATTRIBUTE = "askback_narrow"
"""On a LoRA layer: {adapter's name: (A, scale · B)} in the base's dtype."""


def keep_narrow_copies(model: Any, layers: list[Any], dtype: torch.dtype) -> None:
    """Give each of `layers` narrow copies of its trainable adapters, brought up to date at the start of every forward pass of `model`."""
    sources: list[Tensor] = []
    copies: list[Tensor] = []
    scaled: list[Tensor] = []
    scales: list[float] = []
    for layer in layers:
        found = {}
        for name in layer.active_adapters:
            a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
            if not a.requires_grad or a.dtype is dtype:
                continue
            pair = torch.empty_like(a, dtype=dtype, requires_grad=False), torch.empty_like(b, dtype=dtype, requires_grad=False)
            sources += [a, b]
            copies += pair
            scaled.append(pair[1])
            scales.append(layer.scaling[name])
            found[name] = pair
        setattr(layer, ATTRIBUTE, found)
    if not copies:
        return

    def refresh(*_: Any) -> None:
        with torch.no_grad():
            torch._foreach_copy_(copies, sources)
            torch._foreach_mul_(scaled, scales)

    model.register_forward_pre_hook(refresh)
