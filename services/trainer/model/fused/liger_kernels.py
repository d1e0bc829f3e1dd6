"""Liger's kernels for norms, rotary embedding and silu(gate) · up where liger-kernel is installed, else torch's own operations."""

import importlib.util
from typing import Any

import torch
from torch import Tensor

INSTALLED = importlib.util.find_spec("liger_kernel") is not None


def use_liger(model: Any) -> bool:
    """Give a transformers model on a GPU Liger's norm and rotary kernels; False where they are not installed or do not know the model."""
    if not INSTALLED:
        return False
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN, _apply_liger_kernel_to_instance

    if model.config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        return False
    # The loss is TRL's, which projects only the tokens that carry loss; the MLP is `mlp_block`'s.
    _apply_liger_kernel_to_instance(model, rope=True, rms_norm=True, swiglu=False, cross_entropy=False, fused_linear_cross_entropy=False)
    return True


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up, [rows, inner]."""
    if INSTALLED and gate.is_cuda:
        from liger_kernel.ops.swiglu import swiglu_forward

        product: Tensor = swiglu_forward(gate, up)[2]
        return product
    return torch.nn.functional.silu(gate).mul_(up)


def swiglu_gradients(gate: Tensor, up: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up for `grad` of silu(gate) · up; may overwrite all three."""
    if INSTALLED and gate.is_cuda:
        from liger_kernel.ops.swiglu import swiglu_backward

        gradients: tuple[Tensor, Tensor] = swiglu_backward(gate, up, grad)
        return gradients
    grad_up = torch.nn.functional.silu(gate).mul_(grad)
    return torch.ops.aten.silu_backward(grad.mul_(up), gate), grad_up
