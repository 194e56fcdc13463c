import pytest

from billing.tokens import MOST_TOKENS, Tokens, estimate_tokens


def test_reads_langchains_usage_metadata():
    usage = {
        "input_tokens": 350,
        "output_tokens": 240,
        "total_tokens": 590,
        "input_token_details": {"audio": 10, "cache_creation": 200, "cache_read": 100},
        "output_token_details": {"audio": 10, "reasoning": 150},
    }
    assert Tokens.from_usage_metadata(usage) == Tokens(
        input=350, cached=100, cache_write=200, output=240, reasoning=150, input_audio=10, output_audio=10
    )


def test_reads_images_where_a_provider_tells_them():
    usage = {
        "input_tokens": 50,
        "output_tokens": 90,
        "input_token_details": {"image": 20},
        "output_token_details": {"image": 80},
    }
    tokens = Tokens.from_usage_metadata(usage)
    assert (tokens.input_image, tokens.output_image) == (20, 80)


def test_reads_the_parts_of_calls_in_another_service_tier():
    usage = {
        "input_tokens": 100,
        "output_tokens": 50,
        "input_token_details": {"priority_cache_read": 40, "priority": 60},
        "output_token_details": {"flex_reasoning": 30, "flex": 20},
    }
    tokens = Tokens.from_usage_metadata(usage)
    assert (tokens.cached, tokens.reasoning, tokens.input) == (40, 30, 100)


def test_adds_cache_writes_that_are_told_apart_by_their_life():
    details = {"cache_creation": 0, "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 12}
    usage = {"input_tokens": 100, "output_tokens": 1, "input_token_details": details}
    assert Tokens.from_usage_metadata(usage).cache_write == 42


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 0, "output_tokens": 0}])
def test_is_false_where_nothing_was_counted(usage):
    assert not Tokens.from_usage_metadata(usage)


@pytest.mark.parametrize("count", [None, -5, "12", 1.5, float("nan"), True, [], {}])
def test_counts_nonsense_as_nothing(count):
    usage = {"input_tokens": count, "output_tokens": count, "input_token_details": {"cache_read": count}}
    assert Tokens.from_usage_metadata(usage) == Tokens()


def test_survives_details_that_are_not_mappings():
    usage = {"input_tokens": 3, "output_tokens": 4, "input_token_details": None, "output_token_details": [1]}
    assert Tokens.from_usage_metadata(usage) == Tokens(input=3, output=4)


def test_limits_a_count_that_no_model_can_take():
    assert Tokens.from_usage_metadata({"input_tokens": 10**30, "output_tokens": 1}).input == MOST_TOKENS


def test_makes_a_whole_at_least_the_sum_of_its_parts():
    usage = {
        "input_tokens": 5,
        "output_tokens": 1,
        "input_token_details": {"cache_read": 20, "cache_creation": 10},
    }
    assert Tokens.from_usage_metadata(usage).input == 30


@pytest.mark.parametrize(("length", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_estimates_four_characters_a_token(length, tokens):
    assert estimate_tokens(length) == tokens
