"""What agents.tools.call promises for every kind of tool."""

from __future__ import annotations

import asyncio
import time

import pytest

from agents.tools import functions
from agents.tools.base import ToolFault
from agents.tools.call import call
from agents.tools.schemas import schema_fault
from tests.agents.specs import agent_spec, function_spec


@pytest.fixture
def registered(monkeypatch):
    """Registers a function for one test."""

    def register(body, **schema):
        shape = {"type": "object", "properties": schema, "additionalProperties": False}
        monkeypatch.setitem(functions.registry, "mine", functions.Function("mine", "A test's.", shape, body))
        return function_spec("mine")

    return register


async def test_refuses_arguments_that_do_not_fit_the_schema():
    with pytest.raises(ToolFault, match="'expression' is a required property"):
        await call(function_spec("calculator"), {})


async def test_names_the_argument_that_does_not_fit():
    with pytest.raises(ToolFault, match="expression: 5 is not of type 'string'"):
        await call(function_spec("calculator"), {"expression": 5})


async def test_refuses_arguments_that_nobody_asked_for():
    with pytest.raises(ToolFault, match="Additional properties"):
        await call(function_spec("calculator"), {"expression": "1", "shell": "true"})


async def test_checks_the_tools_own_schema_first():
    spec = function_spec(
        "calculator", arguments_schema={"type": "object", "properties": {"expression": {"maxLength": 3}}}
    )
    with pytest.raises(ToolFault, match="too long"):
        await call(spec, {"expression": "1 + 1"})


async def test_says_that_a_function_is_not_installed():
    with pytest.raises(ToolFault, match="no function 'gone'"):
        await call(function_spec("gone"), {})


async def test_leaves_asking_an_agent_to_a_run():
    with pytest.raises(ToolFault, match="asks an agent"):
        await call(agent_spec(), {"message": "Hello"})


async def test_refuses_an_agent_anything_but_a_message():
    with pytest.raises(ToolFault, match="'message' is a required property"):
        await call(agent_spec(), {})


async def test_awaits_an_async_function(registered):
    async def body():
        return "done"

    assert (await call(registered(body), {})).text == "done"


async def test_runs_a_plain_function_beside_the_event_loop(registered):
    started = time.perf_counter()
    spec = registered(lambda: time.sleep(0.2) or "done")
    await asyncio.gather(call(spec, {}), call(spec, {}), call(spec, {}))
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("seconds", [30])
async def test_ends_an_async_function_that_takes_too_long(registered, seconds):
    async def body():
        await asyncio.sleep(seconds)

    spec = registered(body)
    with pytest.raises(ToolFault, match="did not finish") as raised:
        await call(function_spec("mine", timeout_seconds=0.05, arguments_schema=spec.arguments_schema), {})
    assert raised.value.retryable


async def test_does_not_wait_for_a_plain_function_that_takes_too_long(registered):
    registered(lambda: time.sleep(1))
    started = time.perf_counter()
    with pytest.raises(ToolFault):
        await call(function_spec("mine", timeout_seconds=0.05), {})
    assert time.perf_counter() - started < 0.5


async def test_tells_the_model_nothing_of_a_functions_inside(registered):
    def body():
        raise RuntimeError("password=hunter2")

    with pytest.raises(ToolFault) as raised:
        await call(registered(body), {})
    assert raised.value.message == "The function 'mine' failed (RuntimeError)."


async def test_refuses_a_result_without_json_form(registered):
    with pytest.raises(ToolFault, match="JSON"):
        await call(registered(lambda: object()), {})


async def test_refuses_a_result_that_is_too_long(registered):
    with pytest.raises(ToolFault, match="longer"):
        await call(registered(lambda: "x" * 1_000_001), {})


async def test_passes_a_cancellation_on(registered):
    async def body():
        await asyncio.sleep(30)

    task = asyncio.create_task(call(registered(body), {}))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_refuses_arguments_that_are_nested_without_end():
    arguments = {"expression": "1"}
    for _ in range(500):
        arguments = {"expression": arguments}
    with pytest.raises(ToolFault, match="nested"):
        await call(function_spec("calculator"), arguments)


async def test_survives_a_schema_that_refers_to_itself():
    schema = {"type": "object", "$ref": "#"}
    with pytest.raises(ToolFault, match="refers to itself"):
        await call(function_spec("calculator", arguments_schema=schema), {"expression": "1"})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "JSON object"),
        ({"type": "string"}, "need"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "properties.a"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}}, "example.com"),
        ({"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}, "for ever"),
        ({"type": "object", "properties": {"a": {"pattern": "(a|a)*$"}}}, "for ever"),
        ({"type": "object", "patternProperties": {"(x*)*": {}}}, "for ever"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "not a"),
        ({"type": "object", "description": "x" * 70_000}, "longer"),
    ],
)
def test_refuses_a_schema(schema, words):
    assert words in schema_fault(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^[a-z]+-[0-9]{4}$"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "integer"}}},
    ],
)
def test_takes_a_schema(schema):
    assert schema_fault(schema) is None
