"""Decoder layers whose passes are recorded once for each shape and then replayed, as CUDA graphs: the speed no longer depends on the host.

`replay_layers` changes a PEFT model in place. A pass that cannot be replayed runs layer by layer, with the same numbers.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from services.trainer.model.replayed.conditions import obstacle
from services.trainer.model.replayed.cuda_recorder import CudaRecorder
from services.trainer.model.replayed.decoder_stack import DecoderStack
from services.trainer.model.replayed.replays import MOST, Replays
from services.trainer.model.replayed.trained_weights import TrainedWeights
from services.trainer.model.replayed.work import Recorder

__all__ = ["MOST", "CudaRecorder", "Recorder", "Replays", "replay_layers"]

log = logging.getLogger(__name__)


def replay_layers(
    model: Any, layers: Sequence[Any], recorder: Recorder, state: Callable[[], Hashable], longest: int, device: str = "cuda"
) -> Replays | None:
    """Let `layers` of `model` be replayed by `recorder`'s recordings; None where the model is none for it, which is told in the log.

    A recording holds for one value of `state`. Rows have up to `longest` tokens. The model's `zero_grad` keeps its gradients where they are.
    """
    if found := obstacle(model, layers):
        log.info("passes are not replayed: %s", found)
        return None
    weights, stack = TrainedWeights(layers), DecoderStack(layers, device)
    replays = Replays(stack.run, weights, recorder, state, longest)
    stack.replay_by(replays)
    model.zero_grad = weights.zero_grad
    return replays
