"""LoRA adapters as bytes, without the packages that write them."""

import json
from hashlib import shake_256


def header_bytes(header: object, data: bytes) -> bytes:
    """A file of safetensors' form with any header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def lora_header(rank: int, wide: int = 4, module: str = "base_model.model.model.layers.0.self_attn.q_proj") -> dict[str, dict[str, object]]:
    """Header of one pair of float32 matrices."""
    size = rank * wide * 4
    return {
        f"{module}.lora_A.weight": {"dtype": "F32", "shape": [rank, wide], "data_offsets": [0, size]},
        f"{module}.lora_B.weight": {"dtype": "F32", "shape": [wide, rank], "data_offsets": [size, 2 * size]},
    }


def lora_bytes(seed: bytes = b"weights", rank: int = 8, wide: int = 4) -> bytes:
    """A whole adapter_model.safetensors; other seeds have other weights."""
    return header_bytes(lora_header(rank, wide), shake_256(seed).digest(2 * rank * wide * 4))
