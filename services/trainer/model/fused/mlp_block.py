"""A gated MLP, down(silu(gate(x)) · up(x)), with LoRA on its three layers, as one step of the backward pass.

Three quarters of what a decoder layer keeps for its backward pass are the three inner tensors of its MLP. Here the product silu(gate) · up is
always computed again, which costs one pass over it; with `RECOMPUTE` set gate and up are too, which costs their two matrix products:
58 % of a Qwen2 layer's forward pass for 78 % of its memory, where checkpointing the whole layer costs 100 %.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor

from services.trainer.model.fused.liger_kernels import swiglu, swiglu_gradients
from services.trainer.model.fused.lora_layer import operands
from services.trainer.model.fused.operand import Frozen, adapter_gradients, input_gradient, product

RECOMPUTE = "askback_recompute"
"""Attribute of an MLP module: whether its gate and up are computed again in the backward pass."""

Operands = tuple[Tensor, Tensor, Frozen]


class FusedMlp(torch.autograd.Function):  # type: ignore[misc]
    """x [..., hidden] -> [..., hidden]; keeps x, three tensors of rank r and, unless `recompute`, gate and up [rows, inner]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frozen: tuple[Frozen, ...], recompute: bool, *adapters: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        gate, reduced_gate = product(flat, frozen[0], *adapters[0:2])
        up, reduced_up = product(flat, frozen[1], *adapters[2:4])
        y, reduced_down = product(swiglu(gate, up), frozen[2], *adapters[4:6])
        ctx.save_for_backward(flat, reduced_gate, reduced_up, reduced_down, *adapters, *(() if recompute else (gate, up)))
        ctx.frozen, ctx.recompute, ctx.shape = frozen, recompute, x.shape
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        flat, reduced_gate, reduced_up, reduced_down, *rest = ctx.saved_tensors
        adapters, kept = rest[:6], rest[6:]
        grad = grad.reshape(-1, grad.shape[-1])
        gate = kept[0] if kept else product(flat, ctx.frozen[0], *adapters[0:2])[0]
        up = kept[1] if kept else product(flat, ctx.frozen[1], *adapters[2:4])[0]
        *of_down, narrow = adapter_gradients(grad, swiglu(gate, up), reduced_down, ctx.frozen[2], *adapters[4:6])
        grad_gate, grad_up = swiglu_gradients(gate, up, input_gradient(grad, narrow, ctx.frozen[2], *adapters[4:6]))
        *of_gate, narrow = adapter_gradients(grad_gate, flat, reduced_gate, ctx.frozen[0], *adapters[0:2])
        grad_x = input_gradient(grad_gate, narrow, ctx.frozen[0], *adapters[0:2])
        *of_up, narrow = adapter_gradients(grad_up, flat, reduced_up, ctx.frozen[1], *adapters[2:4])
        grad_x = input_gradient(grad_up, narrow, ctx.frozen[1], *adapters[2:4], into=grad_x)
        return grad_x.view(ctx.shape), None, None, *of_gate, *of_up, *of_down


def fuse_mlps(model: Any) -> list[Any]:
    """Let every gated SiLU MLP of `model` compute by `FusedMlp` where its layers' settings allow; returns those modules."""
    found = [module for module in model.modules() if _is_gated(module)]
    for mlp in found:
        setattr(mlp, RECOMPUTE, False)
        mlp.forward = MethodType(_fused(mlp.forward), mlp)
    return found


def _is_gated(module: Any) -> bool:
    layers = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    return all(layer is not None and operands(layer) is not None for layer in layers) and _is_silu(getattr(module, "act_fn", None))


def _is_silu(activation: Any) -> bool:
    return isinstance(activation, torch.nn.SiLU) or type(activation).__name__ == "SiLUActivation"  # transformers has had both


def _fused(unfused: Any) -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        found = [operands(layer) for layer in (self.gate_proj, self.up_proj, self.down_proj)]
        whole = [one for one in found if one is not None]
        if len(whole) < len(found):
            plain: Tensor = unfused(x)
            return plain
        adapters = [weight for a, b, _ in whole for weight in (a, b)]
        y: Tensor = FusedMlp.apply(x, tuple(frozen for _, _, frozen in whole), getattr(self, RECOMPUTE), *adapters)
        return y

    return forward
