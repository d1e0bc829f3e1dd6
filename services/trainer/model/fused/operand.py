"""A frozen linear layer with its LoRA adapter, as the arguments of a matrix product, and that product with its gradients.

The adapter's product is accumulated into the base's (`addmm_`), forwards and backwards, so that nothing as wide as the layer is written twice. The
gradients are those of y = x Wᵀ + b + s · (x Aᵀ) Bᵀ with W frozen (LoRA, Hu et al. 2021, eq. 3).
"""

from dataclasses import dataclass
from typing import Any

import torch
from bitsandbytes import functional as bnb_functional
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a layer's product needs beside x, A and B."""

    weight: Tensor
    """[out, in], or its NF4 packing."""
    quant_state: Any
    """bitsandbytes' state of a packed weight, else None."""
    bias: Tensor | None
    scale: float
    narrow: tuple[Tensor, Tensor] | None = None
    """Copies of A and of scale · B in the dtype of x, where `narrow_copies` keeps them."""

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """The weight [out, in] as `dtype`."""
        state = self.quant_state
        if state is None:
            return self.weight.to(dtype)
        if state.nested or state.dtype is not dtype:
            unpacked: Tensor = bnb_functional.dequantize_4bit(self.weight, state).to(dtype)
        else:  # the operation itself: its wrapper takes longer than a small card's kernel
            unpacked = torch.ops.bitsandbytes.dequantize_4bit.default(
                self.weight, state.absmax, state.blocksize, state.quant_type, state.shape, dtype
            )
        return unpacked

    def adapter(self, a: Tensor, b: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A and scale · B as `dtype`."""
        if self.narrow is not None and self.narrow[0].dtype is dtype:
            return self.narrow
        return a.to(dtype), (b * self.scale).to(dtype)


def product(x: Tensor, frozen: Frozen, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(y [rows, out], x Aᵀ [rows, r]) of x [rows, in], A [r, in] and B [out, r]."""
    bias = None if frozen.bias is None else frozen.bias.to(x.dtype)
    y = torch.nn.functional.linear(x, frozen.unpacked(x.dtype), bias)
    down, up = frozen.adapter(a, b, x.dtype)
    reduced = x @ down.t()
    y.addmm_(reduced, up.t())
    return y, reduced


def adapter_gradients(grad: Tensor, x: Tensor, reduced: Tensor, frozen: Frozen, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(gradient of A, gradient of B, gradient of x Aᵀ), for grad [rows, out] of y."""
    _, up = frozen.adapter(a, b, grad.dtype)
    grad_reduced = grad @ up
    grad_b = torch.addmm(up, grad.t(), reduced, beta=0, alpha=frozen.scale)
    return (grad_reduced.t() @ x).to(a.dtype), grad_b.to(b.dtype), grad_reduced


def input_gradient(grad: Tensor, grad_reduced: Tensor, frozen: Frozen, a: Tensor, b: Tensor, *, into: Tensor | None = None) -> Tensor:
    """Gradient of x [rows, in], added to `into` where given."""
    weight = frozen.unpacked(grad.dtype)
    into = grad @ weight if into is None else into.addmm_(grad, weight)
    return into.addmm_(grad_reduced, frozen.adapter(a, b, grad.dtype)[0])
