"""A frozen embedding table in the host's memory: a large vocabulary takes a gigabyte of the card for a few thousand rows a pass."""

from typing import Any

import torch
from torch import Tensor


class HostEmbedding(torch.nn.Module):  # type: ignore[misc]
    """ids [...] on the card -> their rows [..., hidden] on the card, looked up on the host.

    The table is no parameter, so that nothing moves it back or counts it among the model's.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._table = [weight.detach().cpu()]

    def forward(self, ids: Tensor) -> Tensor:
        rows = torch.nn.functional.embedding(ids.cpu(), self._table[0])
        return rows.to(ids.device, non_blocking=True)


def embed_on_host(model: Any, smallest: float) -> bool:
    """Move the model's frozen embedding to the host where it has at least `smallest` bytes and is not the output layer too."""
    embedding = model.get_input_embeddings()
    head = model.get_output_embeddings()
    if type(embedding) is not torch.nn.Embedding or head is None or head.weight is embedding.weight or embedding.weight.requires_grad:
        return False
    if embedding.weight.numel() * embedding.weight.element_size() < smallest:
        return False
    model.set_input_embeddings(HostEmbedding(embedding.weight))
    return True
