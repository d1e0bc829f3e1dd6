"""NF4's second quantisation undone once: the scales themselves take 5 % of the packed weights, and three launches for every use of a layer."""

from typing import Any

from bitsandbytes import functional as bnb_functional


def unpack_scales(model: Any) -> int:
    """Keep the scales of every NF4 weight of `model` as float32, with the values that the second quantisation left; returns how many."""
    states = [state for weight in model.parameters() if (state := getattr(weight, "quant_state", None)) is not None and state.nested]
    for state in states:
        state.absmax = (bnb_functional.dequantize_blockwise(state.absmax, state.state2) + state.offset).float()
        state.nested, state.state2, state.offset = False, None, None
    return len(states)
