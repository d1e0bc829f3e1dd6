"""Gradient checkpointing of a decoder layer that draws no random numbers.

torch's own looks after random states, hooks into every tensor that is kept, and compares what it computes again: half as much time again as
the layer's own launches, where a pass is small.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Layer = Callable[..., Any]


class _Recomputed(torch.autograd.Function):  # type: ignore[misc]
    """hidden [...] -> layer(hidden) [...]; keeps `hidden` alone. `anchor` asks for gradients where `hidden` does not."""

    @staticmethod
    def forward(ctx: Any, layer: Layer, anchor: Tensor, hidden: Tensor) -> Tensor:
        device = hidden.device.type
        ctx.layer, ctx.autocast = layer, (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        ctx.save_for_backward(hidden)
        out: Tensor = layer(hidden)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden = ctx.saved_tensors[0].detach().requires_grad_()
        device, dtype, enabled = ctx.autocast
        with torch.enable_grad(), torch.autocast(device, dtype, enabled):
            out = ctx.layer(hidden)
        torch.autograd.backward(out, grad)
        return None, None, hidden.grad


def recomputed(layer: Layer, *inputs: Any) -> Any:
    """`layer(*inputs)`, computed again in the backward pass: a transformers layer's `_gradient_checkpointing_func`."""
    if len(inputs) != 1 or not torch.is_grad_enabled():
        return checkpoint(layer, *inputs, use_reentrant=False)
    hidden = inputs[0]
    anchor = torch.empty(0, device=hidden.device, requires_grad=True)
    return _Recomputed.apply(layer, anchor, hidden)
