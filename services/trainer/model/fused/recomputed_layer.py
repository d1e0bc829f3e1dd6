"""Gradient checkpointing of a decoder layer that draws no random numbers.

torch's own looks after random states, hooks into every tensor that is kept, and compares what it computes again: half as much time again as
the layer's own launches, where a pass is small. It is also switched by a flag that TRL clears and sets for all layers alike around DPO's
reference, so the layer's own attribute decides here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

RECOMPUTE_LAYER = "askback_recompute_layer"
"""Attribute of a decoder layer: whether all but its input is computed again in the backward pass."""

Layer = Callable[[Tensor], Tensor]


class _Recomputed(torch.autograd.Function):  # type: ignore[misc]
    """hidden [...] -> layer(hidden) [...]; keeps `hidden` alone. `weights` are the trained ones that `layer` reads.

    They are inputs, so that whoever asks for their gradients by `torch.autograd.grad` gets them.
    """

    @staticmethod
    def forward(ctx: Any, layer: Layer, hidden: Tensor, *weights: Tensor) -> Tensor:
        device = hidden.device.type
        ctx.layer, ctx.weights = layer, weights
        ctx.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device), torch.is_autocast_cache_enabled())
        ctx.save_for_backward(hidden)
        return layer(hidden)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        asked = ctx.needs_input_grad[1]
        hidden = ctx.saved_tensors[0].detach().requires_grad_(asked)
        with torch.enable_grad(), torch.autocast(*ctx.autocast):
            out = ctx.layer(hidden)
        found = torch.autograd.grad(out, (*ctx.weights, *([hidden] if asked else [])), grad, allow_unused=True)
        return None, found[-1] if asked else None, *found[: len(ctx.weights)]


def recompute_layers(layers: list[Any]) -> None:
    """Let each of `layers` (hidden -> hidden) compute again as its attribute `RECOMPUTE_LAYER` says, which is False to begin with."""
    for layer in layers:
        setattr(layer, RECOMPUTE_LAYER, False)
        layer.forward = _recomputing(layer, layer.forward)


def _recomputing(layer: Any, plain: Any) -> Any:
    places = [(module._parameters, name) for module in layer.modules() for name, weight in module._parameters.items() if _is_trained(weight)]

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not getattr(layer, RECOMPUTE_LAYER) or not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        if len(args) != 1:
            return checkpoint(plain, *args, use_reentrant=False, **kwargs)
        weights = [weight for parameters, name in places if _is_trained(weight := parameters[name])]
        return _Recomputed.apply(lambda hidden: plain(hidden, **kwargs), args[0], *weights)

    return forward


def _is_trained(weight: Tensor | None) -> bool:
    return weight is not None and bool(weight.requires_grad)
