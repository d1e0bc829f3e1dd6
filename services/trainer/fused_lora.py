"""LoRA on a linear layer in three matrix products and no copies, for layers whose adapter has no dropout.

PEFT's own forward copies the base's output, scales the adapter's and adds the two: four passes over the widest tensors of the model,
and as many kernel launches. Here the adapter's product is accumulated into the base's output (`addmm_`), and the backward pass,
written out by hand as in LoRA (Hu et al. 2021, eq. 3), does the same with the input's gradient and keeps nothing but the input.
"""

from types import MethodType
from typing import Any

import torch
from bitsandbytes import functional as bnb_functional
from peft.tuners.lora import LoraLayer
from torch import Tensor


class FusedLora(torch.autograd.Function):
    """x [..., in], frozen weight [out, in] or its NF4 packing, A [r, in], B [out, r] -> x Wᵀ + bias + scale · x Aᵀ Bᵀ, [..., out]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, quant_state: Any, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:  # type: ignore[override]
        flat = x.reshape(-1, x.shape[-1])
        out = torch.nn.functional.linear(flat, _unpacked(weight, quant_state, x.dtype), bias)
        narrow_a, narrow_b = a.to(x.dtype), b.to(x.dtype)
        reduced = flat @ narrow_a.t()
        out.addmm_(reduced, narrow_b.t(), alpha=scale)
        ctx.save_for_backward(flat, weight, reduced, a, b)
        ctx.quant_state, ctx.scale, ctx.shape = quant_state, scale, x.shape
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        flat, weight, reduced, a, b = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_reduced = (grad @ b.to(grad.dtype)).mul_(ctx.scale)
        grad_b = (grad.t() @ reduced).mul_(ctx.scale).to(b.dtype)
        grad_a = (grad_reduced.t() @ flat).to(a.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ _unpacked(weight, ctx.quant_state, grad.dtype)
            grad_x.addmm_(grad_reduced, a.to(grad.dtype))
            grad_x = grad_x.view(ctx.shape)
        return grad_x, None, None, None, grad_a, grad_b, None


def fuse_lora(model: Any) -> int:
    """Let every LoRA layer of `model` compute by `FusedLora` where that is what its settings mean; returns how many were changed."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), torch.nn.Linear)]
    for layer in layers:
        layer.forward = MethodType(_forward(type(layer).forward), layer)  # type: ignore[method-assign]
    return len(layers)


def _forward(unfused: Any) -> Any:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name = _only_plain_adapter(self)
        if name is None or args or kwargs:
            result: Tensor = unfused(self, x, *args, **kwargs)
            return result
        base = self.get_base_layer()
        weight = base.weight
        fused: Tensor = FusedLora.apply(
            x, weight, getattr(weight, "quant_state", None), base.bias, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]
        )
        return fused

    return forward


def _only_plain_adapter(layer: Any) -> str | None:
    """The adapter's name where exactly one is on, without dropout or a variant such as DoRA; DPO's reference turns it off or names another."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    name: str = layer.active_adapters[0]
    if name not in layer.lora_A or name in layer.lora_variant or not isinstance(layer.lora_dropout[name], torch.nn.Identity):
        return None
    return name


def _unpacked(weight: Tensor, quant_state: Any, dtype: torch.dtype) -> Tensor:
    if quant_state is None:
        return weight.to(dtype)
    return bnb_functional.dequantize_4bit(weight, quant_state).to(dtype)
