"""One pass through the decoder layers over fixed addresses, forwards and backwards: what a recorder records."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from services.trainer.model.replayed.trained_weights import TrainedWeights

Run = Callable[[Tensor, dict[str, Any]], Tensor]
"""(hidden [rows, tokens, size], the layers' other arguments) -> hidden after all layers, of the same shape."""
Autocast = tuple[str, torch.dtype, bool]
"""Device, dtype and whether it is on."""


@dataclass(slots=True)
class Work:
    """Reads `hidden`, `kwargs` and `grad`; writes `output` and adds to the gradients of `weights`."""

    run: Run
    weights: TrainedWeights
    hidden: Tensor
    kwargs: dict[str, Any]
    output: Tensor
    grad: Tensor
    autocast: Autocast
    _leaves: list[Tensor] = field(default_factory=list)

    def forward(self) -> Tensor:
        """Returns the result with its graph."""
        self._leaves = self.weights.fresh()
        # A cache would keep casts of one recording for the next, in memory that is used again by then.
        with self.weights.replaced(self._leaves), torch.enable_grad(), torch.autocast(*self.autocast, cache_enabled=False):
            out = self.run(self.hidden, self.kwargs)
        self.output.copy_(out.detach())
        return out

    def gradients(self, out: Tensor) -> list[Tensor | None]:
        """Gradients of the weights, None for one that `out` does not depend on."""
        with self.weights.replaced(self._leaves), torch.autocast(self.autocast[0], enabled=False):
            found: tuple[Tensor | None, ...] = torch.autograd.grad(out, self._leaves, self.grad, allow_unused=True)
        self._leaves = []
        return list(found)

    def backward(self, out: Tensor) -> None:
        """Add the gradients to those that the weights hold."""
        pairs = zip(self.weights.gradients, self.gradients(out), strict=True)
        found = [(held, gradient) for held, gradient in pairs if gradient is not None]
        with torch.no_grad():
            torch._foreach_add_([held for held, _ in found], [gradient for _, gradient in found])


class Recording(Protocol):
    """A `Work` that can be done again."""

    def forward(self) -> None: ...

    def backward(self) -> None:
        """For the forward pass before it; at most once."""

    def drop(self) -> None:
        """Give up its memory."""


class Recorder(Protocol):
    def record(self, work: Work) -> Recording:
        """Leaves gradients as they are. Raises OutOfMemoryError, or RuntimeError for what cannot be recorded; usable again after both."""

    def drop(self) -> None:
        """Give up the memory that recordings share. All of them must be dropped."""
