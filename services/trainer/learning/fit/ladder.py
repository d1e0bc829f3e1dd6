"""Ways to save memory in the backward pass, ordered from the cheapest: a rung saves more than the one below it and computes more twice."""

from dataclasses import dataclass
from enum import StrEnum


class Saving(StrEnum):
    """What a decoder layer computes again in the backward pass instead of keeping it."""

    NONE = "none"
    MLP = "mlp"
    """The MLP's inner tensors: most of the memory for about half of the layer's forward pass."""
    LAYER = "layer"
    """Everything but the layer's input (gradient checkpointing)."""


@dataclass(frozen=True)
class Ladder:
    """The rungs for a model of `layers` decoder layers: first one layer after the other saves by MLP, then one after the other by LAYER."""

    layers: int
    has_mlp: bool
    """Whether the model's MLPs can be computed again by themselves; without it the ladder goes from NONE to LAYER."""

    @property
    def savings(self) -> tuple[Saving, ...]:
        return tuple(Saving) if self.has_mlp else (Saving.NONE, Saving.LAYER)

    @property
    def top(self) -> int:
        """The rung that saves most."""
        return self.layers * (len(self.savings) - 1)

    @property
    def landings(self) -> tuple[int, ...]:
        """The rungs on which all layers save alike."""
        return tuple(range(0, self.top + 1, self.layers))

    def on(self, rung: int) -> list[Saving]:
        """Each layer's saving on `rung`, first layer first."""
        lower, further = divmod(rung, self.layers)
        higher = self.savings[min(lower + 1, len(self.savings) - 1)]
        return [higher if layer < further else self.savings[lower] for layer in range(self.layers)]

    def counts(self, rung: int) -> dict[str, int]:
        """Layers by saving on `rung`."""
        found = self.on(rung)
        return {saving.value: found.count(saving) for saving in Saving}
