"""What a run makes of tools that fail, hang or answer garbage: the model is told, and no run comes to harm."""

from __future__ import annotations

import asyncio
import time

import pytest

from agentplatform.lib.concurrency import in_thread
from agents.tools.functions import function, registry
from tests.agents.http_endpoint import Answer
from tests.engine.support import data, entries_of, events_of, finished, start
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

BOTH_CALLS = [("opened", "pending")] * 2 + [("settled", "ok")] * 2


async def test_lets_the_model_deal_with_a_tool_that_fails(worker, agent_on, calculator, alice):
    agent = await in_thread(agent_on, "text", tools=[calculator])

    run = await start(alice, agent, 'call calculator {"expression": "1 / 0"}')

    assert await failures_of(run) == ["Division by zero."]
    assert (await finished(run)).status == "completed"


async def test_lets_the_model_deal_with_a_tool_that_hangs(worker, agent_on, alice, hanging_tool):
    agent = await in_thread(agent_on, "text", tools=[hanging_tool])

    run = await start(alice, agent, "call sleeper {}")

    assert await failures_of(run) == ["The tool did not finish within 1 seconds."]
    assert (await finished(run)).status == "completed"
    assert await entries_of(run) == BOTH_CALLS


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"", b"{", b"\x00\xff\xfe", b'"\\u0000 \\ud800"', b"NaN", b"1" + b"0" * 5000, b"x" * 2_000_000),
        *(b"[" * 400 + b"]" * 400, b"[" * 100_000),
    ],
    ids=lambda body: f"{body[:20]!r}",
)
async def test_lets_the_model_deal_with_an_answer_that_is_garbage(
    worker, agent_on, alice, silent_tool, endpoint_of_tool, garbage
):
    endpoint_of_tool.answer = Answer(body=garbage)
    agent = await in_thread(agent_on, "text", tools=[silent_tool])

    run = await finished(await start(alice, agent, "call sleeper {}"))

    assert (run.status, await entries_of(run)) == ("completed", BOTH_CALLS)


@pytest.mark.parametrize(
    "expression",
    ['"\\u0000 \\ud800"', "1e999", "NaN", "[]", '"' + "9" * 100_000 + '"'],
    ids=lambda text: text[:20],
)
async def test_lets_the_model_deal_with_arguments_that_are_garbage(
    worker, agent_on, calculator, alice, expression
):
    agent = await in_thread(agent_on, "text", tools=[calculator])

    run = await finished(await start(alice, agent, f'call calculator {{"expression": {expression}}}'))

    assert (run.status, await entries_of(run)) == ("completed", BOTH_CALLS)


async def test_blames_the_endpoint_for_arguments_that_no_checkpoint_can_hold(
    worker, agent_on, calculator, alice
):
    agent = await in_thread(agent_on, "text", tools=[calculator])

    run = await finished(await start(alice, agent, f'call calculator {{"a": {"[" * 300 + "]" * 300}}}'))

    assert (run.error["class"], await entries_of(run)) == ("provider_unavailable", BOTH_CALLS[::2])


async def failures_of(run) -> list[str]:
    """What its tools have failed with."""
    return [data(event)["error"] for event in await events_of(run.id) if event.type == "tool_call_failed"]


@pytest.fixture
def calculator(workspace):
    return ToolFactory(workspace=workspace, name="calculator")


@pytest.fixture(params=["request", "waiting", "blocking"])
def hanging_tool(request, workspace, monkeypatch):
    """An endpoint that does not answer, a function that waits, and one that holds its thread."""
    if request.param == "request":
        return request.getfixturevalue("silent_tool")

    async def wait() -> None:
        await asyncio.sleep(5)

    def block() -> None:
        time.sleep(2)

    monkeypatch.setattr("agents.tools.functions.registry", dict(registry))
    function("sleeper", "Sleeps.")(wait if request.param == "waiting" else block)
    return ToolFactory(workspace=workspace, name="sleeper", function="sleeper", timeout_seconds=1)
