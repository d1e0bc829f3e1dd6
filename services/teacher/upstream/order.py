"""What is sent upstream for a request, and the most that it can cost."""

from dataclasses import dataclass
from typing import Any

import orjson

from askback.contracts.errors import BudgetExceeded, InvalidInput
from services.teacher.config import OpenAISpec
from services.teacher.money.prices import Price, prompt_tokens_at_most
from services.teacher.request.asked import Asked

_LIMITS = ("max_completion_tokens", "max_tokens")
_MOST = 10_000_000  # tokens or answers: more than any model gives
_NOT_SENT = frozenset({"metadata", "stream", "stream_options"})
# What is billed beyond the tokens of the texts, so that no upper bound could be named.
_UNBOUNDED = ("audio", "prediction", "web_search_options")


@dataclass(frozen=True, slots=True)
class Order:
    """One request to one upstream."""

    body: bytes
    tokens: int
    """The most tokens that prompt and answer can have."""
    usd: float
    """The most dollars that one try can cost."""


def order_of(asked: Asked, spec: OpenAISpec, price: Price | None, stream: bool) -> Order:
    """The order for `asked` at the backend `spec`.

    Raises InvalidInput for a field that would make its cost unbounded, BudgetExceeded when the price is unknown (None).
    """
    if price is None:
        raise BudgetExceeded(
            f"backend {spec.name!r}: the price of model {spec.model!r} at {spec.base_url} is not known; set price_per_million_prompt_usd and"
            " price_per_million_completion_usd in the backends file, or name the model in [budget] allow_unpriced"
        )
    body = {name: value for name, value in asked.body.items() if name not in _NOT_SENT}
    body["model"] = spec.model
    paid = price.upper_bound(1, 1) > 0
    limit = _token_limit(body)
    if paid:
        _refuse_unbounded(body)
        if limit is None:
            body[spec.token_limit_field] = spec.max_completion_tokens
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    raw = orjson.dumps(body)
    prompt = prompt_tokens_at_most(len(raw), len(body["messages"]))
    answers = _count(body, "n") or 1
    completion = (spec.max_completion_tokens if limit is None else limit) * answers
    return Order(raw, prompt + completion, price.upper_bound(prompt, completion))


def _token_limit(body: dict[str, Any]) -> int | None:
    limits = [limit for field in _LIMITS if (limit := _count(body, field)) is not None]
    return max(limits) if limits else None


def _count(body: dict[str, Any], field: str) -> int | None:
    value = body.get(field)
    if value is not None and (type(value) is not int or not 1 <= value <= _MOST):
        raise InvalidInput(f"{field}: must be a whole number from 1 to {_MOST}")
    return value


def _refuse_unbounded(body: dict[str, Any]) -> None:
    for field in _UNBOUNDED:
        if body.get(field):
            raise InvalidInput(f"{field}: its cost has no upper bound, so it cannot be sent to a backend that costs money; remove it")
    if body.get("service_tier") not in (None, "auto", "default", "flex"):
        raise InvalidInput("service_tier: must be auto, default or flex; the others cost more than the known price")
    for number, message in enumerate(body["messages"]):
        parts = message.get("content")
        for part in parts if isinstance(parts, list) else ():
            if part.get("type") not in ("text", "refusal"):
                raise InvalidInput(f"messages.{number}.content: the cost of a part of type {part.get('type')!r} has no upper bound; send text")
