"""What tokens cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

BATCH_FACTOR = 0.5  # of the full price, for prompt and answer alike: https://platform.openai.com/docs/pricing, section Batch
_WRAPPING_TOKENS = 8


class Price(Protocol):
    """The price of one model at one provider. A batch's discount is the caller's business."""

    def cost(self, prompt_tokens: int, cached_prompt_tokens: int, completion_tokens: int, written_prompt_tokens: int = 0) -> float:
        """Dollars for one call.

        Tokens are counted as OpenAI's `usage` does: those read from the provider's prompt cache (`cached_tokens`) and those
        written to it (`cache_write_tokens`) are part of `prompt_tokens`.
        """
        ...

    def upper_bound(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The most dollars that a call of at most so many tokens can cost."""
        ...


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per token of a call whose prompt has more than `above` tokens."""

    above: int
    prompt: float
    cached: float
    """Of a prompt token read from the provider's cache."""
    written: float
    """Of a prompt token written to the provider's cache."""
    completion: float


class TokenPrice:
    """A price by token. A longer prompt may make all tokens of its call dearer."""

    def __init__(self, tiers: Sequence[Rates], call_usd: float = 0.0) -> None:
        """`tiers` ascend by `above`, and the first is for every prompt; `call_usd` is charged once a call."""
        self._tiers, self._call_usd = tuple(tiers), call_usd

    def cost(self, prompt_tokens: int, cached_prompt_tokens: int, completion_tokens: int, written_prompt_tokens: int = 0) -> float:
        """See `Price`. More special tokens than the prompt has are taken for as many as it has."""
        rates = self._tiers[0]
        for tier in self._tiers[1:]:
            if prompt_tokens > tier.above:
                rates = tier
        cached = min(cached_prompt_tokens, prompt_tokens)
        written = min(written_prompt_tokens, prompt_tokens - cached)
        plain = prompt_tokens - cached - written
        tokens = plain * rates.prompt + cached * rates.cached + written * rates.written + completion_tokens * rates.completion
        return tokens + self._call_usd

    def upper_bound(self, prompt_tokens: int, completion_tokens: int) -> float:
        """See `Price`: every tier that the prompt may reach, and no cached token."""
        reachable = [self._tiers[0], *(tier for tier in self._tiers[1:] if prompt_tokens > tier.above)]
        prompt = max(max(tier.prompt, tier.written, tier.cached) for tier in reachable)
        completion = max(tier.completion for tier in reachable)
        return prompt_tokens * prompt + completion_tokens * completion + self._call_usd


def flat_price(prompt_usd_per_million: float, completion_usd_per_million: float) -> TokenPrice:
    """One price for all prompt tokens, cached or not, and one for all completion tokens."""
    prompt = prompt_usd_per_million / 1e6
    return TokenPrice([Rates(0, prompt, prompt, prompt, completion_usd_per_million / 1e6)])


def prompt_tokens_at_most(messages_json_bytes: int, messages: int) -> int:
    """An upper bound for the tokens of a prompt of texts: its JSON's bytes in UTF-8, plus 8 for each message and 8 for the reply's start.

    Byte-level tokenizers make at most one token of a byte, and JSON is never shorter than the texts in it. Chat templates wrap
    a message in about 4 tokens. Count the JSON of all that the model reads: tools and a response schema as well.
    """
    return messages_json_bytes + _WRAPPING_TOKENS * (messages + 1)
