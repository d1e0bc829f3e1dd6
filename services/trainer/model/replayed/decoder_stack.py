"""The decoder layers of a model as one step: the first one's forward pass runs them all where that can be replayed."""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from services.trainer.model.fused.lora_layer import lora_layers, operands
from services.trainer.model.replayed.conditions import hooked
from services.trainer.model.replayed.pass_inputs import same

log = logging.getLogger(__name__)


class Replayer(Protocol):
    def replayed(self, hidden: Tensor, kwargs: dict[str, Any]) -> Tensor | None:
        """All layers' result, or None where they have to run one after another."""


class DecoderStack:
    """`layers`, each hidden [rows, tokens, size] -> hidden, on `device` ("cuda").

    The first pass with gradients runs layer by layer, and shows whether all layers are called alike and pass nothing but hidden states on.
    """

    def __init__(self, layers: Sequence[Any], device: str) -> None:
        self._layers, self._device = layers, device
        self._own = [layer.forward for layer in layers]
        self._switches = [next(iter(lora_layers(layer)), None) for layer in layers]
        self._replayer: Replayer | None = None
        self._ran = False
        self._alike: bool | None = None
        self._kwargs: dict[str, Any] = {}
        self._passed: Any = None

    def run(self, hidden: Tensor, kwargs: dict[str, Any]) -> Tensor:
        """All layers one after another."""
        for forward in self._own:
            hidden = forward(hidden, **kwargs)
        return hidden

    def replay_by(self, replayer: Replayer) -> None:
        """From now on let `replayer` run all layers where it can."""
        self._replayer = replayer
        for index, layer in enumerate(self._layers):
            layer.forward = self._forward_of(index)

    def _forward_of(self, index: int) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if index == 0:
                out = self._replayed(*args, **kwargs)
                self._ran = out is not None
                if self._ran:
                    return out
            elif self._ran:
                return args[0]
            out = self._own[index](*args, **kwargs)
            if self._alike is None and torch.is_grad_enabled():
                self._compare(index, args, kwargs, out)
            return out

        return forward

    def _replayed(self, *args: Any, **kwargs: Any) -> Tensor | None:
        if not self._alike or not torch.is_grad_enabled():
            return None
        hidden = args[0]
        if len(args) > 1 or hidden.requires_grad or hidden.device.type != self._device:
            return None
        if self._replayer is None or not self._layers[0].training or not self._adapted():
            return None
        return self._replayer.replayed(hidden, kwargs)

    def _adapted(self) -> bool:
        """Whether the trained adapter is on; PEFT switches all layers alike, so one of each decoder layer is asked."""
        found = (operands(switch) for switch in self._switches if switch is not None)
        return all(one is not None and one[0].requires_grad for one in found)

    def _compare(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        if index == 0:
            self._kwargs, self._passed = kwargs, args[0] if args else None
        alike = len(args) == 1 and isinstance(out, Tensor) and args[0] is self._passed and same(kwargs, self._kwargs)
        self._passed = out
        if alike and index < len(self._layers) - 1:
            return
        self._alike, self._kwargs, self._passed = alike and not hooked(self._layers), {}, None
        if not self._alike:
            log.info("passes are not replayed: the decoder layers are called differently, or something listens to them")
