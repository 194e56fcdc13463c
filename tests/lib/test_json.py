"""JSON: what is written, and what is refused on the way in and out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from uuid import UUID

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.lib.errors import Invalid, MalformedRequest, PayloadTooLarge
from agentplatform.lib.json import JSONParser, JSONRenderer, dumps, loads, read_limited

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.10"), '"0.10"'),
        (UUID("01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"), '"01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"'),
        (datetime(2026, 11, 20, 10, 0, tzinfo=UTC), '"2026-11-20T10:00:00Z"'),
        (date(2026, 11, 20), '"2026-11-20"'),
        (gettext_lazy("Yes"), '"Yes"'),
        ("漢字", '"漢字"'),
        ({1: "key"}, '{"1":"key"}'),
        (2**70, "1180591620717411303424"),
    ],
)
def test_writes(value, text):
    assert dumps(value).decode() == text


def test_writes_lone_surrogates_as_escapes():
    assert dumps({"text": "\ud800"}) == b'{"text":"\\ud800"}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: [n], lambda n: {"a": [{"b": (n,)}]}])
def test_refuses_to_write_numbers_that_json_lacks(number, wrap):
    with pytest.raises(ValueError, match=r"no JSON form|not JSON compliant"):
        dumps(wrap(number))


def test_writes_null_beside_ordinary_numbers():
    assert dumps({"a": None, "b": 1.5}) == b'{"a":null,"b":1.5}'


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes"])
def test_refuses_unknown_types(value):
    with pytest.raises(TypeError):
        dumps({"value": value})


def test_refuses_dataclasses_rather_than_showing_their_fields():
    @dataclass
    class Secretive:
        secret: str

    with pytest.raises(TypeError):
        dumps(Secretive("hidden"))


@given(VALUES)
def test_reads_back_what_it_wrote(value):
    try:
        expected = loads(dumps(value))
    except (Invalid, MalformedRequest):  # NUL characters and lone surrogates are refused on the way in.
        return
    assert expected == value


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a":\n 1,}', "line 2, column 3"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b"", "line 1"),
        (b'"\xff"', "line 1"),
        (b"[" * 5000, "line 1"),
        (b'"\\ud800"', "line 1"),
    ],
)
def test_says_where_a_body_is_malformed(body, place):
    with pytest.raises(MalformedRequest, match=place):
        loads(body)


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_refuses_a_body_that_is_nested_too_deep(pair):
    opening, closing = pair
    with pytest.raises(MalformedRequest, match="100 levels"):
        loads(opening * 101 + b"1" + closing * 101)


def test_reads_a_body_of_as_many_levels_as_are_allowed():
    assert loads(b"[" * 100 + b"]" * 100)


def test_counts_levels_not_brackets():
    assert len(loads(b"[" + b",".join([b"[[]]"] * 200) + b"]")) == 200


def test_names_the_field_that_holds_a_nul_character():
    with pytest.raises(Invalid) as caught:
        loads(b'{"messages": [{"content": "a\\u0000b"}]}')
    assert caught.value.details[0]["field"] == "messages.0.content"


def test_refuses_a_nul_character_in_a_key():
    with pytest.raises(Invalid):
        loads(b'{"a\\u0000": 1}')


def test_lets_an_escaped_backslash_before_u0000_pass():
    assert loads(b'"\\\\u0000"') == "\\u0000"


def test_reads_a_body_of_exactly_the_limit():
    assert read_limited(BytesIO(b"12345"), 5) == b"12345"


def test_refuses_a_longer_body_without_reading_the_rest():
    stream = BytesIO(b"1234567890")
    with pytest.raises(PayloadTooLarge):
        read_limited(stream, 5)
    assert stream.tell() == 6


def test_parses_a_request_up_to_the_setting(settings):
    settings.MAX_REQUEST_BYTES = 10
    with pytest.raises(PayloadTooLarge, match="10 bytes"):
        JSONParser().parse(BytesIO(b'{"a": "12345678"}'))


def test_renders_nothing_for_no_data():
    assert JSONRenderer().render(None) == b""
