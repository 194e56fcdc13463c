"""The demo model: it needs no key, streams, really calls tools, and always says the same."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool

from agents.providers.base import make
from agents.tools.functions import registry
from agents.tools.schemas import MESSAGE_SCHEMA
from tests.agents.specs import model_spec


@pytest.fixture
def model():
    return make(model_spec(provider="demo", model="scripted", parameters={"delay_ms": 0}))


@pytest.fixture
def with_tools(model):
    """The model with all functions of the platform, and one tool that it has no rule for."""

    def nothing(**arguments):
        """Never called here."""

    tools = [
        StructuredTool.from_function(
            nothing, name=item.name, description=item.description, args_schema=item.schema
        )
        for item in registry.values()
    ]
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    weather = StructuredTool.from_function(
        nothing, name="get_weather", description="Weather", args_schema=schema
    )
    return model.bind_tools([*tools, weather])


async def calls(model, text):
    return [(call["name"], call["args"]) for call in (await model.ainvoke(text)).tool_calls]


async def test_explains_itself_where_no_rule_fits(with_tools):
    assert "demo model" in (await with_tools.ainvoke("Hello")).text


async def test_answers_without_tools(model):
    assert "no tools" in (await model.ainvoke("What time is it?")).text


async def test_asks_for_the_calculation_that_waits_for_a_person(model):
    tools = [
        {
            "name": "approved_calculator",
            "description": "Calculates",
            "parameters": registry["calculator"].schema,
        }
    ]
    assert await calls(model.bind_tools(tools), "What is 17 * 23?") == [
        ("approved_calculator", {"expression": "17 * 23"})
    ]


async def test_hands_a_calculation_over_to_another_agent(model):
    tools = [{"name": "ask_mathematician", "description": "Calculates", "parameters": MESSAGE_SCHEMA}]
    assert await calls(model.bind_tools(tools), "What is 17 * 23?") == [
        ("ask_mathematician", {"message": "What is 17 * 23?"})
    ]


@pytest.mark.parametrize("question", ["What time is it?", "what's the current date", "现在几点了？"])
async def test_asks_the_clock(with_tools, question):
    assert await calls(with_tools, question) == [("current_time", {})]


async def test_asks_for_the_time_of_a_zone(with_tools):
    assert await calls(with_tools, "What time is it in Asia/Tokyo?") == [
        ("current_time", {"timezone": "Asia/Tokyo"})
    ]


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("What is 17 * 23?", "17 * 23"),
        ("Please work out (2 + 3) * 4 for me", "(2 + 3) * 4"),
        ("how much is 10 / 4 - 1?", "10 / 4 - 1"),
        ("3 × 4 = ?", "3 * 4"),
    ],
)
async def test_calculates_with_the_tool(with_tools, question, expression):
    assert await calls(with_tools, question) == [("calculator", {"expression": expression})]


async def test_queries_json_with_the_tool(with_tools):
    found = await calls(with_tools, 'Get `items[0].name` from {"items": [{"name": "a"}]}')
    assert found == [("json_query", {"data": {"items": [{"name": "a"}]}, "query": "items[0].name"})]


async def test_converts_units_with_the_tool(with_tools):
    found = await calls(with_tools, "How far is 5 km in miles?")
    assert found == [("unit_convert", {"value": 5.0, "from_unit": "km", "to_unit": "miles"})]


async def test_calls_several_tools_at_once(with_tools):
    found = await calls(with_tools, "What time is it, and what is 1 + 1?")
    assert [name for name, _ in found] == ["current_time", "calculator"]


async def test_calls_a_tool_that_is_named(with_tools):
    assert await calls(with_tools, "Use get weather for `Paris`") == [("get_weather", {"city": "Paris"})]


async def test_calls_a_tool_exactly_as_told(with_tools):
    assert await calls(with_tools, 'call get_weather {"city": "Rome"}') == [("get_weather", {"city": "Rome"})]


async def test_calls_only_tools_that_it_was_given(model):
    assert (await model.ainvoke('call get_weather {"city": "Rome"}')).tool_calls == []


async def test_quotes_the_tools_answer(with_tools):
    conversation = [
        HumanMessage("What is 17 * 23?"),
        AIMessage(
            "", tool_calls=[{"name": "calculator", "args": {"expression": "17 * 23"}, "id": "call_1_0"}]
        ),
        ToolMessage("391", name="calculator", tool_call_id="call_1_0"),
    ]
    assert "391" in (await with_tools.ainvoke(conversation)).text


async def test_streams_word_by_word(model):
    chunks = [chunk.text async for chunk in model.astream("Hello")]
    assert len(chunks) > 10


async def test_streams_what_it_says(model):
    streamed = "".join([chunk.text async for chunk in model.astream("Hello\n  world")])
    assert streamed == (await model.ainvoke("Hello\n  world")).text


async def test_says_the_same_to_the_same_conversation(with_tools):
    first, second = [await with_tools.ainvoke("What is 1 + 1?") for _ in range(2)]
    assert first.tool_calls == second.tool_calls


async def test_counts_tokens(model):
    usage = (await model.ainvoke("Hello")).usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 20


def test_answers_without_an_event_loop_too(with_tools):
    assert with_tools.invoke("What is 1 + 1?").tool_calls[0]["name"] == "calculator"
