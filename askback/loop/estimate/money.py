"""Dollars of tokens."""

from collections.abc import Sequence

from askback.contracts.teacher import PriceResponse
from askback.loop.estimate.calls import Call
from askback.loop.estimate.result import Amount


def online_usd(price: PriceResponse, prompt_tokens: int, completion_tokens: int) -> float | None:
    """None where the price is not known."""
    if price.prompt_usd_per_million is None or price.completion_usd_per_million is None:
        return None
    return (prompt_tokens * price.prompt_usd_per_million + completion_tokens * price.completion_usd_per_million) / 1e6


def batch_usd(price: PriceResponse, prompt_tokens: int, completion_tokens: int) -> float | None:
    """None where the price is not known, or no batches are offered."""
    online = online_usd(price, prompt_tokens, completion_tokens)
    return None if online is None or price.batch_factor is None else online * price.batch_factor


def amount(calls: Sequence[Call], price: PriceResponse, other: PriceResponse | None) -> Amount:
    """What `calls` come to at `price`, and at the `other` model's price where there is one."""
    prompt, completion = sum(call.prompt for call in calls), sum(call.completion for call in calls)
    return Amount(
        calls=len(calls),
        prompt_tokens=prompt,
        completion_tokens=completion,
        online_usd=online_usd(price, prompt, completion),
        batch_usd=batch_usd(price, prompt, completion),
        other_online_usd=online_usd(other, prompt, completion) if other else 0.0,
        other_batch_usd=batch_usd(other, prompt, completion) if other else 0.0,
    )
