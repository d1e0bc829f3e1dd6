"""PEFT's LoRA layers computed by `operand.product`."""

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor

from services.trainer.model.fused.narrow_copies import ATTRIBUTE as NARROW
from services.trainer.model.fused.narrow_copies import keep_narrow_copies
from services.trainer.model.fused.operand import Frozen, adapter_gradients, input_gradient, product

_FROZEN = "askback_frozen"


class FusedLora(torch.autograd.Function):  # type: ignore[misc]
    """x [..., in], A [r, in], B [out, r] -> [..., out]; keeps x and x Aᵀ for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, frozen: Frozen) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        y, reduced = product(flat, frozen, a, b)
        ctx.save_for_backward(flat, reduced, a, b)
        ctx.frozen, ctx.shape = frozen, x.shape
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        flat, reduced, a, b = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_a, grad_b, grad_reduced = adapter_gradients(grad, flat, reduced, ctx.frozen, a, b)
        grad_x = input_gradient(grad, grad_reduced, ctx.frozen, a, b).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_x, grad_a, grad_b, None


def fuse_layers(model: Any) -> int:
    """Let every LoRA layer of `model` on a linear layer compute by `FusedLora` where its settings allow; returns how many were changed."""
    layers = [layer for layer in lora_layers(model) if isinstance(layer.get_base_layer(), torch.nn.Linear)]
    for layer in layers:
        layer.forward = MethodType(_fused(type(layer).forward), layer)
    plain = [layer for layer in layers if operands(layer)]
    keep_narrow_copies(model, plain, _compute_dtype(layers))
    for layer in plain:
        setattr(layer, _FROZEN, {name: _frozen(layer, name) for name in layer.lora_A})
    return len(layers)


def lora_layers(module: Any) -> list[Any]:
    """The LoRA layers of `module`, on whatever layer they sit."""
    return [part for part in module.modules() if isinstance(part, LoraLayer)]


def _compute_dtype(layers: Sequence[Any]) -> torch.dtype:
    """That of the base's products: bitsandbytes' own setting over a packed weight, else the weight's."""
    bases = [layer.get_base_layer() for layer in layers]
    dtypes = {getattr(base, "compute_dtype", None) or base.weight.dtype for base in bases}
    return dtypes.pop() if len(dtypes) == 1 else torch.float32


def operands(layer: Any) -> tuple[Tensor, Tensor, Frozen] | None:
    """(A, B, the rest) where exactly one adapter is on, without dropout or a variant such as DoRA, else None.

    None is also DPO's reference, which switches the adapters off; where it is an adapter of its own, its weights are given.
    """
    if not isinstance(layer, LoraLayer) or layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    name = layer.active_adapters[0]
    if name not in layer.lora_A or name in layer.lora_variant or not isinstance(layer.lora_dropout[name], torch.nn.Identity):
        return None
    frozen = getattr(layer, _FROZEN, {}).get(name) or _frozen(layer, name)
    return layer.lora_A[name].weight, layer.lora_B[name].weight, frozen


def _frozen(layer: Any, name: str) -> Frozen:
    base = layer.get_base_layer()
    state = getattr(base.weight, "quant_state", None)
    # bitsandbytes' own class of weights answers every operation in Python.
    weight = base.weight if state is None else base.weight.data.as_subclass(Tensor)
    return Frozen(weight, state, base.bias, layer.scaling[name], getattr(layer, NARROW, {}).get(name))


def _fused(unfused: Any) -> Any:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        found = None if args or kwargs else operands(self)
        y: Tensor = unfused(self, x, *args, **kwargs) if found is None else FusedLora.apply(x, *found)
        return y

    return forward
