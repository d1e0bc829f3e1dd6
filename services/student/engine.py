"""What the student needs of an inference engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from askback.contracts.records import Message, Usage


@dataclass(frozen=True)
class Sampling:
    """How one text is generated. At most one of `choices` and `regex` is set."""

    max_tokens: int
    choices: tuple[str, ...] = ()
    """The text must be one of these."""
    regex: str = ""
    """The text must match this."""
    temperature: float = 0.0
    """0 writes the likeliest text."""
    seed: int | None = None
    """Of the random choices at temperatures above 0; None for the engine's own."""


@dataclass(frozen=True)
class Generation:
    text: str
    usage: Usage
    truncated: bool = False
    first_token: dict[str, float] = field(default_factory=dict)
    """Log-probabilities of the likeliest first tokens, where `choices` were given."""


class Engine(Protocol):
    """An engine that serves one base model and any number of LoRA adapters by name."""

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        """One completion; raises NotFound when `model` is not loaded."""
        ...

    async def load(self, name: str, path: str) -> None:
        """Serve the adapter in folder `path` as `name`; loading a loaded name changes nothing."""
        ...

    async def unload(self, name: str) -> None:
        """Stop serving `name`; unloading an unknown name changes nothing."""
        ...

    async def healthy(self) -> bool: ...
