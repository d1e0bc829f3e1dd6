"""What a call costs, and the most that it can cost."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from askback.contracts.errors import InvalidInput
from services.teacher.money.genai_prices_table import price_of
from services.teacher.money.prices import Price, Rates, TokenPrice, flat_price, prompt_tokens_at_most

ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "azure": "https://mine.openai.azure.com/openai/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai/",
    "deepseek": "https://api.deepseek.com",
    "perplexity": "https://api.perplexity.ai",
    "mistral": "https://api.mistral.ai/v1",
}
# prompt, cached, completion, written
CALLS = [(1000, 0, 50, 0), (1000, 300, 50, 0), (1000, 300, 50, 700), (300_000, 1000, 50, 0), (300_000, 299_000, 50, 100), (0, 0, 0, 0)]


def listed(model: str, provider: str = "openai", at: datetime | None = None) -> Price:
    price = price_of(ADDRESSES[provider], model, None, None, **({"now": lambda: at} if at else {}))
    assert price is not None
    return price


def test_prices_given_go_before_the_table() -> None:
    price = price_of(ADDRESSES["openai"], "gpt-4o", 1.0, 4.0)
    assert price is not None
    assert (price.cost(1_000_000, 400_000, 500_000), price.upper_bound(1_000_000, 500_000)) == (3.0, 3.0)


def test_a_free_server_costs_nothing() -> None:
    price = price_of("http://127.0.0.1:8000/v1", "gpt-4o", 0.0, 0.0)
    assert price is not None and price.upper_bound(10**9, 10**9) == 0.0


def test_one_price_alone_is_a_mistake() -> None:
    with pytest.raises(InvalidInput, match="set both or neither"):
        price_of(ADDRESSES["openai"], "gpt-4o", 1.0, None)


def test_prices_given_do_not_load_the_table() -> None:
    program = (
        "import sys; from services.teacher.money.genai_prices_table import price_of\n"
        "assert price_of('http://127.0.0.1:8000/v1', 'm', 1.0, 2.0) and 'genai_prices' not in sys.modules\n"
        "assert not price_of('http://127.0.0.1:8000/v1', 'm', None, None) and 'genai_prices' in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost/v1",
        "https://gateway.example/v1",
        "https://api.openai.com.example.org/v1",
        "http://gateway/x.openai.azure.com/v1",
        "https://openai.azure.com.example.org/v1",
        "https://notopenai.azure.com/v1",
    ],
)
def test_a_known_model_on_an_unknown_host_has_no_price(url: str) -> None:
    assert price_of(url, "gpt-4o", None, None) is None


@pytest.mark.parametrize("url", [ADDRESSES["openai"], "https://API.openai.com:443/v1/", "http://api.openai.com", ADDRESSES["azure"]])
def test_a_known_model_at_its_provider_has_one(url: str) -> None:
    price = price_of(url, "gpt-4o-mini", None, None)
    assert price is not None
    assert price.cost(1_000_000, 0, 1_000_000) == pytest.approx(0.15 + 0.6)


@pytest.mark.parametrize("model", ["gpt-none", "my-deployment", "text-embedding-3-small", ""])
def test_a_model_that_the_table_does_not_have_or_that_does_not_chat_has_no_price(model: str) -> None:
    assert price_of(ADDRESSES["openai"], model, None, None) is None


@pytest.mark.parametrize("provider", ADDRESSES)
def test_costs_are_those_of_the_table_and_never_above_the_bound(provider: str) -> None:
    compared = 0
    for model in next(found.models for found in get_snapshot().providers if found.id == provider):
        price = price_of(ADDRESSES[provider], model.id, None, None)
        for prompt, cached, completion, written in CALLS if price else ():
            assert price is not None
            usage = genai_prices.Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion, cache_write_tokens=written)
            wanted = float(genai_prices.calc_price(usage, model.id, provider_id=provider).total_price)
            assert price.cost(prompt, cached, completion, written) == pytest.approx(wanted, rel=1e-9), model.id
            assert price.upper_bound(prompt, completion) >= wanted * (1 - 1e-12), model.id
            compared += 1
    assert compared > 20


def test_cached_tokens_are_cheaper_and_not_in_the_bound() -> None:
    price = listed("gpt-4o")
    assert price.cost(1_000_000, 1_000_000, 0) == pytest.approx(1.25)
    assert price.cost(1_000_000, 5_000_000, 0) == pytest.approx(1.25)  # a server that reports nonsense earns nothing by it
    assert price.upper_bound(1_000_000, 0) == pytest.approx(2.5)


def test_a_price_that_fell_on_a_date() -> None:
    before, after = datetime(2025, 6, 9, tzinfo=UTC), datetime(2025, 6, 11, tzinfo=UTC)
    assert listed("o3", at=before).cost(1_000_000, 0, 0) == pytest.approx(10)
    assert (listed("o3", at=after).cost(1_000_000, 0, 0), listed("o3", at=after).upper_bound(1_000_000, 0)) == (2.0, 2.0)
    clock = [before]
    price = price_of(ADDRESSES["openai"], "o3", None, None, now=lambda: clock[0])
    assert price is not None
    clock[0] = after  # while the teacher runs
    assert price.cost(1_000_000, 0, 0) == pytest.approx(2)


def test_a_price_by_the_hour_is_bounded_by_its_dearest_hour() -> None:
    cheap, dear = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (20, 10))
    at_night, by_day = (listed("deepseek-chat", "deepseek", at) for at in (cheap, dear))
    assert at_night.cost(1_000_000, 0, 0) < by_day.cost(1_000_000, 0, 0) == at_night.upper_bound(1_000_000, 0)


def test_a_long_prompt_pays_its_tier_for_all_tokens() -> None:
    price = TokenPrice([Rates(0, 1.0, 0.5, 1.0, 10.0), Rates(100, 2.0, 1.0, 3.0, 5.0)], call_usd=7.0)
    assert (price.cost(100, 0, 1), price.cost(101, 0, 1), price.cost(101, 1, 1, 100)) == (117.0, 214.0, 1 + 300 + 5 + 7)
    assert (price.upper_bound(100, 1), price.upper_bound(101, 1)) == (117.0, 101 * 3 + 10 + 7)  # it may also come out shorter


def test_flat_prices_are_for_a_million_tokens() -> None:
    assert flat_price(0.15, 0.6).cost(1000, 0, 100) == pytest.approx(0.00021)


@pytest.mark.parametrize("size, messages, most", [(0, 0, 8), (100, 1, 116), (100, 2, 124)])
def test_a_prompt_has_at_most_a_token_for_each_byte_and_its_wrapping(size: int, messages: int, most: int) -> None:
    assert prompt_tokens_at_most(size, messages) == most
