"""Let each decoder layer of a transformers model save memory in its own way."""

from collections.abc import Sequence
from typing import Any

from transformers.modeling_layers import GradientCheckpointingLayer

from services.trainer.learning.fit.ladder import Ladder, Saving
from services.trainer.model.fused import RECOMPUTE, RECOMPUTE_LAYER, recompute_layers


class LayerSavings:
    """The decoder layers of `model`, with their MLPs where those can be computed again by themselves."""

    def __init__(self, model: Any, mlps: Sequence[Any], random: bool = False) -> None:
        """`random` tells that layers draw random numbers, so that what is computed again must draw the same: torch's checkpoints do."""
        self._random = random
        fused = {id(mlp) for mlp in mlps}
        self._model = model
        self.layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
        self._mlps = [next((part for part in layer.modules() if id(part) in fused), None) for layer in self.layers]
        self.ladder = Ladder(len(self.layers), has_mlp=bool(self.layers) and None not in self._mlps)
        self.rung = 0
        """On which they save now."""
        if not random:
            recompute_layers(self.layers)

    def apply(self, rung: int) -> None:
        """Save as on `rung` of the ladder from the next pass on."""
        savings = self.ladder.on(rung)
        if self._random and Saving.LAYER in savings:
            # Reentrant checkpoints would need inputs that ask for gradients, which a frozen embedding does not give.
            self._model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        for layer, mlp, saving in zip(self.layers, self._mlps, savings, strict=True):
            setattr(layer, "gradient_checkpointing" if self._random else RECOMPUTE_LAYER, saving is Saving.LAYER)
            if mlp is not None:
                setattr(mlp, RECOMPUTE, saving is Saving.MLP)
        self.rung = rung

    def apply_counts(self, counts: dict[str, int]) -> None:
        """Save as `Ladder.counts` told of a rung."""
        self.apply(next(rung for rung in range(self.ladder.top + 1) if self.ladder.counts(rung) == counts))
