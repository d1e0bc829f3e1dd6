"""What a backend is: something that completes a chat."""

from dataclasses import dataclass
from typing import Protocol

from askback.contracts.teacher import ChatRequest


@dataclass(frozen=True)
class Completion:
    """A backend's answer. Tokens and dollars are 0 for recorded answers."""

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    problem: str = ""
    """Why the text cannot be used, such as `truncated`; the call was paid for all the same. Empty for a good answer."""


class Backend(Protocol):
    """One source of completions."""

    async def complete(self, request: ChatRequest) -> Completion:
        """The answer to `request`.

        Raises NotFound or UpstreamUnavailable (a fallback may be asked), UpstreamRejected or InvalidInput (it may not).
        """
        ...
