"""The trained weights of the decoder layers, at fixed addresses, with gradients that stay where they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class TrainedWeights:
    """The trained weights of `layers`, and a gradient for each, of its shape and dtype."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self._places = [
            (module._parameters, name)
            for layer in layers
            for module in layer.modules()
            for name, weight in module._parameters.items()
            if weight is not None and weight.requires_grad
        ]
        self.weights: list[Tensor] = [parameters[name] for parameters, name in self._places]
        self.gradients = [torch.zeros_like(weight) for weight in self.weights]
        self._addresses = [weight.data_ptr() for weight in self.weights]

    def moved(self) -> bool:
        """Whether a weight lies elsewhere than at first, so that what was recorded would read a stale one."""
        return [parameters[name].data_ptr() for parameters, name in self._places] != self._addresses

    def hold(self) -> None:
        """Make the gradients the weights' own: zero where a weight has none, with its values where it has another."""
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            if weight.grad is gradient:
                continue
            if weight.grad is None:
                gradient.zero_()
            else:
                gradient.copy_(weight.grad)
            weight.grad = gradient

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero the gradients in place, whatever `set_to_none` says: recorded passes add to these very tensors."""
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            if weight.grad is not None and weight.grad is not gradient:
                weight.grad = None
        torch._foreach_zero_(self.gradients)

    def fresh(self) -> list[Tensor]:
        """New leaves over the same memory, which no earlier pass has tied to another stream."""
        return [torch.nn.Parameter(weight.detach()) for weight in self.weights]

    @contextmanager
    def replaced(self, leaves: Sequence[Tensor]) -> Iterator[None]:
        """Let the layers read `leaves` instead of the weights."""
        self._put(leaves)
        try:
            yield
        finally:
            self._put(self.weights)

    def _put(self, weights: Sequence[Tensor]) -> None:
        for (parameters, name), weight in zip(self._places, weights, strict=True):
            parameters[name] = weight
