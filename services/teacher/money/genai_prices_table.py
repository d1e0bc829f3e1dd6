"""Prices from the table that the package genai-prices carries; nothing is fetched."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from askback.contracts.errors import InvalidInput
from services.teacher.money.prices import Price, Rates, TokenPrice, flat_price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

# What a call of texts is billed by. The table's other units count things that such a call has not, or that no reply reports.
_BY_TEXT = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
_NOT_REPORTED = ("output_citation_mtok", "output_reasoning_mtok", "input_mchars", "input_text_messages_kcount")


def _now() -> datetime:
    return datetime.now(UTC)


def price_of(
    base_url: str,
    model: str,
    prompt_usd_per_million: float | None,
    completion_usd_per_million: float | None,
    now: Callable[[], datetime] = _now,
) -> Price | None:
    """The price of `model` at the server `base_url`, None when it is unknown.

    Dollars given for a million tokens go before the table (both or neither; else raises InvalidInput). The table is asked by
    the provider that the host belongs to, so a model on a host of one's own has no price, whatever its name. On Azure the
    model is the deployment's name, which has a price when it is a model's name. The table is read when it is first needed.
    """
    if prompt_usd_per_million is not None and completion_usd_per_million is not None:
        return flat_price(prompt_usd_per_million, completion_usd_per_million)
    if prompt_usd_per_million is not None or completion_usd_per_million is not None:
        raise InvalidInput(f"model {model!r}: one of the prices for prompt and completion tokens is missing; set both or neither")
    found = _find(base_url, model)
    if found is None:
        return None
    priced = _possible(found, now())
    if not all(_is_by_text(price) for price in priced):
        return None
    return _token_price(priced[0]) if len(priced) == 1 else _ChangingPrice(found, priced, now)


class _ChangingPrice:
    """A price that depends on the date or on the hour of the day."""

    def __init__(self, model: "ModelInfo", possible: Sequence["ModelPrice"], now: Callable[[], datetime]) -> None:
        self._model, self._now = model, now
        self._prices = {id(price): _token_price(price) for price in possible}

    def cost(self, prompt_tokens: int, cached_prompt_tokens: int, completion_tokens: int, written_prompt_tokens: int = 0) -> float:
        price = self._prices[id(self._model.get_prices(self._now()))]
        return price.cost(prompt_tokens, cached_prompt_tokens, completion_tokens, written_prompt_tokens)

    def upper_bound(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The dearest price from now on, since a call may end in another hour than it began."""
        return max(price.upper_bound(prompt_tokens, completion_tokens) for price in self._prices.values())


def _find(base_url: str, model: str) -> "ModelInfo | None":
    # Here and not above, since the table takes 30 MiB and half a second, which a teacher whose prices are all given can do without.
    from genai_prices.data_snapshot import get_snapshot

    parts = urlsplit(base_url)
    host = f"https://{parts.hostname or ''}"
    address = host + parts.path.replace(".", "") + "/"  # without dots, or a wildcard for a part of the host could match in the path
    try:
        provider, found = get_snapshot().find_provider_model(model, None, None, address)
    except LookupError:
        return None
    match = re.match(provider.api_pattern, address)
    # Some patterns have an open end, and would take api.openai.com.example.org for OpenAI.
    return found if match and match.end() >= len(host) else None


def _possible(model: "ModelInfo", now: datetime) -> list["ModelPrice"]:
    """All prices that `model` may have from `now` on."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(model.prices, ModelPrice):
        return [model.prices]
    possible = []
    for conditional in reversed(model.prices):  # the last one whose condition holds is taken
        possible.append(conditional.prices)
        constraint = conditional.constraint
        if constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.active(now)):
            return possible  # this one holds for good, so those before it are over
    return [*possible, model.prices[0].prices]


def _is_by_text(price: "ModelPrice") -> bool:
    return price.input_mtok is not None and price.output_mtok is not None and not any(getattr(price, unit) for unit in _NOT_REPORTED)


def _token_price(price: "ModelPrice") -> TokenPrice:
    from genai_prices.types import TieredPrices

    prices = [getattr(price, unit) for unit in _BY_TEXT]
    starts = {tier.start for value in prices if isinstance(value, TieredPrices) for tier in value.tiers}
    tiers = []
    for start in sorted({0} | starts):
        prompt, cached, written, completion = (_dollars(value, start) for value in prices)
        assert prompt is not None and completion is not None
        tiers.append(Rates(start, prompt, prompt if cached is None else cached, prompt if written is None else written, completion))
    return TokenPrice(tiers, call_usd=(_dollars(price.requests_kcount, 0) or 0.0) * 1000)


def _dollars(value: "Decimal | TieredPrices | None", above: int) -> float | None:
    """Dollars for one of the million units that `value` is for, with a prompt of more than `above` tokens; None for no price."""
    if value is None:
        return None
    if not isinstance(value, Decimal):
        value = [value.base, *(tier.price for tier in value.tiers if tier.start <= above)][-1]
    return float(value / 10**6)
