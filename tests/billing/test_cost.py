"""Costs, computed by hand beside the code."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.pricing import _built_in
from billing.rates import COSTS_LIKE, Rate, UnitPrices, UsedPrices, cost, direction_of, per_token, split
from billing.tokens import Tokens

AT = datetime(2026, 11, 21, tzinfo=UTC)


def prices(given: str, taken: str, cached: str | None = None, cache_write: str | None = None) -> UnitPrices:
    """From prices per million tokens."""

    def rate(per_million: str) -> Rate:
        return Rate(per_token(Decimal(per_million)))

    others = {"cached": cached, "cache_write": cache_write}
    own = {kind: rate(amount) for kind, amount in others.items() if amount}
    return UnitPrices(rate(given), rate(taken), own, version="test")


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
        Tokens(input=5000, cached=1000, output=900, input_audio=2000, output_audio=300, output_image=100),
        Tokens(input=5000, output=900, input_image=700, reasoning=400),
    ],
)
def test_agrees_with_the_price_lists_own_sums(provider, tokens):
    usage = genai_prices.Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
        input_audio_tokens=tokens.input_audio,
        output_audio_tokens=tokens.output_audio,
        input_image_tokens=tokens.input_image,
        output_image_tokens=tokens.output_image,
        output_reasoning_tokens=tokens.reasoning,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
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


def test_charges_each_kind_by_its_own_price():
    own = {
        "cached": Rate(Decimal("0.5")), "cached_audio": Rate(Decimal("0.7")), "input_audio": Rate(Decimal(3)),
        "input_image": Rate(Decimal(2)), "reasoning": Rate(Decimal(11)), "output_audio": Rate(Decimal(20)),
        "output_image": Rate(Decimal(30)),
    }  # fmt: skip
    unit_prices = UnitPrices(Rate(Decimal(1)), Rate(Decimal(10)), own)
    given = Tokens(input=100, cached=10, input_audio=20, input_image=30)
    taken = Tokens(output=100, reasoning=10, output_audio=20, output_image=30)
    # 10 × 0.5 + 20 × 3 + 30 × 2 + 40 × 1, and 10 × 11 + 20 × 20 + 30 × 30 + 40 × 10
    assert (cost(given, unit_prices), cost(taken, unit_prices)) == (Decimal(165), Decimal(1810))


def test_charges_audio_that_must_have_been_cached_as_both():
    own = {
        "cached": Rate(Decimal("0.5")),
        "cached_audio": Rate(Decimal("0.7")),
        "input_audio": Rate(Decimal(3)),
    }
    unit_prices = UnitPrices(Rate(Decimal(1)), Rate(Decimal(10)), own)
    # Of 100 tokens 80 are cached and 50 audio, so at least 30 are both: 20 × 3 + 30 × 0.7 + 50 × 0.5
    assert cost(Tokens(input=100, cached=80, input_audio=50), unit_prices) == Decimal(106)


@pytest.mark.parametrize(("tokens", "expected"), [(Tokens(input=10), "10.25"), (Tokens(), "0")])
def test_charges_a_request_that_took_tokens(tokens, expected):
    unit_prices = UnitPrices(Rate(Decimal(1)), Rate(Decimal(10)), request=Decimal("0.25"))
    assert cost(tokens, unit_prices) == Decimal(expected)


on_a_busy_machine = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
COUNT = st.integers(0, 2_000_000)
PRICES = st.decimals(0, 1000, places=6)
TOKENS = st.builds(
    lambda usage, given, taken: Tokens.from_usage_metadata(
        {**usage, "input_token_details": given, "output_token_details": taken}
    ),
    st.fixed_dictionaries({"input_tokens": COUNT, "output_tokens": COUNT}),
    st.dictionaries(st.sampled_from(["cache_read", "cache_creation", "audio", "image"]), COUNT),
    st.dictionaries(st.sampled_from(["reasoning", "audio", "image"]), COUNT),
)
RATES = st.builds(
    lambda base, steps: Rate(
        per_token(base), tuple((above, per_token(price)) for above, price in sorted(steps))
    ),
    PRICES,
    st.lists(st.tuples(COUNT, PRICES), max_size=2),
)
UNIT_PRICES = st.builds(
    UnitPrices,
    RATES,
    RATES,
    st.dictionaries(st.sampled_from(list(COSTS_LIKE)), RATES),
    st.decimals(0, 1, places=12),
)


@on_a_busy_machine
@given(TOKENS)
def test_counts_each_token_in_one_kind(tokens):
    parts = split(tokens)
    by_direction = {"input": 0, "output": 0}
    for kind, count in parts.items():
        by_direction[direction_of(kind)] += count
    assert by_direction == {"input": tokens.input, "output": tokens.output}
    assert min(parts.values()) >= 0


@on_a_busy_machine
@given(TOKENS, UNIT_PRICES)
def test_can_be_recomputed_from_what_is_stored(tokens, unit_prices):
    used = unit_prices.used(tokens)
    stored = json.loads(json.dumps(used.stored()))
    again = UsedPrices.from_stored(used.input, used.output, stored)
    assert again.cost(tokens) == cost(tokens, unit_prices)


@on_a_busy_machine
@given(TOKENS, UNIT_PRICES)
def test_is_the_sum_of_every_token_at_the_price_of_its_kind(tokens, unit_prices):
    by_hand = unit_prices.request if tokens else Decimal(0)
    for kind, count in split(tokens).items():
        by_hand += count * unit_prices.of(kind).at(tokens.input)
    assert cost(tokens, unit_prices) == by_hand


@on_a_busy_machine
@given(TOKENS, UNIT_PRICES)
def test_fits_the_ledger(tokens, unit_prices):
    assert cost(tokens, unit_prices) == round(cost(tokens, unit_prices), 12)
