"""What the shipped functions answer, and what they refuse."""

from __future__ import annotations

import json

import pytest

from agents.tools.base import ToolFault
from agents.tools.call import call
from agents.tools.functions import registry
from agents.tools.schemas import schema_fault
from tests.agents.specs import function_spec


async def answer(function, **arguments):
    return (await call(function_spec(function), arguments)).text


async def value(function, **arguments):
    return (await call(function_spec(function), arguments)).content


@pytest.mark.parametrize("function", registry.values(), ids=lambda function: function.name)
def test_has_a_valid_schema_and_a_description(function):
    assert (schema_fault(function.schema), bool(function.description)) == (None, True)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("17 * 23", "391"),
        ("(1 + 2) * 3 - 4 / 2", "7"),
        ("0.1 + 0.2", "0.3"),
        ("2 ** 10", "1024"),
        ("2 ^ 10", "1024"),
        ("-7 // 2", "-4"),
        ("7 % 3", "1"),
        ("sqrt(16) + abs(-2)", "6"),
        ("round(pi, 2)", "3.14"),
        ("max(1, 2, 3)", "3"),
        ("factorial(20)", "2432902008176640000"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("1e3", "1000"),
    ],
)
async def test_calculates(expression, result):
    assert await answer("calculator", expression=expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__",
        "open('/etc/passwd')",
        "lambda: 1",
        "[x for x in (1,)]",
        "'a' * 10",
        "True + 1",
        "x",
        "1 if 1 else 2",
        "sqrt(16, **{})",
        "1 +",
        "1; 2",
        "",
    ],
)
async def test_calculates_nothing_but_arithmetic(expression):
    with pytest.raises(ToolFault):
        await answer("calculator", expression=expression)


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9",
        "2 ** 100000",
        "(2 ** 4000) * (2 ** 4000)",
        "factorial(100000)",
        "10.0 ** 1000",
        "1 / 0",
        "1e308 * 10",
        "(-8) ** 0.5",
        "log(0)",
        "(" * 300 + ")" * 300,
        "1+" * 400 + "1",
    ],
)
async def test_refuses_what_has_no_bounded_result(expression):
    with pytest.raises(ToolFault):
        await answer("calculator", expression=expression)


async def test_tells_the_time_in_utc_unless_asked_otherwise():
    assert (await value("current_time"))["timezone"] == "UTC"


async def test_tells_the_time_of_a_zone():
    assert (await value("current_time", timezone="Asia/Shanghai"))["iso"].endswith("+08:00")


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "/etc/passwd", "America"])
async def test_knows_no_time_of_what_is_no_zone(zone):
    with pytest.raises(ToolFault, match="time zone"):
        await value("current_time", timezone=zone)


async def test_queries_a_json_value():
    data = {"items": [{"name": "a", "price": 5}, {"name": "b", "price": 15}]}
    assert await value("json_query", data=data, query="items[?price > `10`].name") == ["b"]


async def test_queries_json_text():
    assert await value("json_query", data='{"a": {"b": [1, 2]}}', query="a.b[1]") == 2


@pytest.mark.parametrize(
    ("data", "query"),
    [
        ("{", "a"),
        ({}, "a["),
        ({}, "nothing()"),
        ([1, "a"], "sum(@)"),
    ],
)
async def test_says_what_is_wrong_with_a_query(data, query):
    with pytest.raises(ToolFault):
        await value("json_query", data=data, query=query)


@pytest.mark.parametrize(
    "query",
    [
        "@" + " | [@, @][]" * 40,
        "@" + " | [@, @]" * 40,
        "@" + " | {a: @, b: @}" * 40,
        "to_string([" * 20 + "@" + "])" * 20,
        "join(to_string(@), @)",
    ],
)
async def test_refuses_a_query_that_multiplies_its_input(query):
    with pytest.raises(ToolFault):
        await value("json_query", data=["x"] * 100, query=query)


async def test_refuses_data_that_is_too_long_to_query():
    with pytest.raises(ToolFault, match="longer"):
        await value("json_query", data="1" * 300_000, query="@")


async def test_counts_a_text():
    counts = await value("text_statistics", text="Hello there. How are you?\nFine!")
    assert (counts["words"], counts["sentences"], counts["lines"]) == (6, 3, 2)


@pytest.mark.parametrize(
    ("amount", "source", "target", "result"),
    [
        (5, "km", "miles", 3.10685596119),
        (100, "°C", "F", 212),
        (32, "fahrenheit", "celsius", 0),
        (0, "K", "C", -273.15),
        (1, "GiB", "MB", 1073.741824),
        (2, "hours", "min", 120),
        (3, "feet", "in", 36),
    ],
)
async def test_converts_units(amount, source, target, result):
    converted = await value("unit_convert", value=amount, from_unit=source, to_unit=target)
    assert converted["value"] == pytest.approx(result)


@pytest.mark.parametrize(("source", "target"), [("km", "kg"), ("furlong", "m")])
async def test_converts_nothing_into_something_else(source, target):
    with pytest.raises(ToolFault):
        await value("unit_convert", value=1, from_unit=source, to_unit=target)


@pytest.mark.parametrize(
    ("start", "end", "days", "working_days"),
    [
        ("2026-11-20", "2026-11-23", 3, 1),
        ("2026-11-16", "2026-11-30", 14, 10),
        ("2026-11-23", "2026-11-20", -3, -1),
        ("2024-02-28", "2024-03-01", 2, 2),
    ],
)
async def test_counts_days(start, end, days, working_days):
    counted = await value("date_difference", start=start, end=end)
    assert (counted["days"], counted["working_days"]) == (days, working_days)


async def test_says_what_is_no_date():
    with pytest.raises(ToolFault, match="YYYY-MM-DD"):
        await value("date_difference", start="2026-02-30", end="2026-03-01")


async def test_answers_text_that_is_json():
    assert json.loads(await answer("date_difference", start="2026-01-01", end="2026-01-02"))["days"] == 1
