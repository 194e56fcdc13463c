"""Costs, computed by hand beside the code."""

from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from billing.pricing import _built_in
from billing.rates import Rate, UnitPrices, cost, per_token
from billing.tokens import Tokens

AT = datetime(2026, 11, 21, tzinfo=UTC)


def prices(given: str, taken: str, cached: str | None = None, cache_write: str | None = None) -> UnitPrices:
    """From prices per million tokens."""

    def rate(per_million: str) -> Rate:
        return Rate(per_token(Decimal(per_million)))

    return UnitPrices(
        rate(given), rate(cached or given), rate(cache_write or given), rate(taken), version="test"
    )


@pytest.mark.parametrize(
    ("tokens", "unit_prices", "expected"),
    [
        # 1000 × 0.15/M + 100 × 0.6/M = 0.00015 + 0.00006
        (Tokens(input=1000, output=100), prices("0.15", "0.6"), "0.00021"),
        # 1200 of 2000 are cached: 800 × 2.5/M + 1200 × 1.25/M + 300 × 10/M = 0.002 + 0.0015 + 0.003
        (Tokens(input=2000, cached=1200, output=300), prices("2.5", "10", cached="1.25"), "0.0065"),
        # 5000 = 1000 fresh + 3000 read + 1000 written: 0.003 + 0.0009 + 0.00375, and 200 × 15/M = 0.003
        (
            Tokens(input=5000, cached=3000, cache_write=1000, output=200),
            prices("3", "15", cached="0.3", cache_write="3.75"),
            "0.01065",
        ),
        # Without prices of their own, cached and written tokens cost what input costs: 1000 × 1/M
        (Tokens(input=1000, cached=400, cache_write=500), prices("1", "2"), "0.001"),
        # Reasoning is in the output already: 500 × 10/M, not 900 × 10/M
        (Tokens(output=500, reasoning=400), prices("1.25", "10"), "0.005"),
        # A single token of a cheap model is not rounded away
        (Tokens(input=1), prices("0.000001", "1"), "0.000000000001"),
        (Tokens(), prices("3", "15"), "0"),
    ],
)
def test_adds_up(tokens, unit_prices, expected):
    assert cost(tokens, unit_prices) == Decimal(expected)


def test_charges_all_tokens_of_a_long_input_at_the_higher_step():
    stepped = UnitPrices(
        input=Rate(Decimal("0.000001"), ((200_000, Decimal("0.000002")),)),
        cached=Rate(Decimal(0)),
        cache_write=Rate(Decimal(0)),
        output=Rate(Decimal("0.00001"), ((200_000, Decimal("0.000015")),)),
        version="test",
    )
    at_the_edge, beyond = Tokens(input=200_000, output=100), Tokens(input=200_001, output=100)
    assert [cost(at_the_edge, stepped), cost(beyond, stepped)] == [Decimal("0.201"), Decimal("0.401502")]


def test_is_unknown_without_a_price():
    assert cost(Tokens(input=1000, output=100), None) is None


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
@pytest.mark.parametrize(
    "tokens",
    [
        Tokens(input=1000, output=100),
        Tokens(input=5000, cached=3000, output=200, reasoning=50),
        Tokens(input=5000, cached=3000, cache_write=1000, output=200),
        Tokens(input=300_000, cached=250_000, output=10_000),
    ],
)
def test_agrees_with_the_price_lists_own_sums(provider, tokens):
    usage = genai_prices.Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
    )
    listed = next(item for item in get_snapshot().providers if item.id == provider)
    different = {}
    for model in listed.models:
        unit_prices = _built_in(provider, model.id, AT)
        if unit_prices:
            theirs = genai_prices.calc_price(
                usage, model.id, provider_id=provider, genai_request_timestamp=AT
            )
            ours = cost(tokens, unit_prices)
            if ours != theirs.total_price:
                different[model.id] = (ours, theirs.total_price)
    assert different == {}
