"""LoRA layers and MLPs whose forward and backward passes are written out by hand: fewer launches, fewer copies, less memory.

`fuse_layers` and `fuse_mlps` change a PEFT model in place; layers that mean something else (dropout, DoRA, several adapters) compute as before.
"""

from services.trainer.model.fused.host_embedding import embed_on_host
from services.trainer.model.fused.liger_kernels import use_liger
from services.trainer.model.fused.lora_layer import fuse_layers
from services.trainer.model.fused.mlp_block import RECOMPUTE, fuse_mlps
from services.trainer.model.fused.nf4_scales import unpack_scales
from services.trainer.model.fused.recomputed_layer import RECOMPUTE_LAYER, recompute_layers
from services.trainer.model.fused.short_walks import shorten_walks

__all__ = [
    "RECOMPUTE", "RECOMPUTE_LAYER", "embed_on_host", "fuse_layers", "fuse_mlps", "recompute_layers", "shorten_walks", "unpack_scales", "use_liger",
]  # fmt: skip
