"""The platform as an MCP server, over a real socket, as the official client sees it: its tools, and their calls."""

from __future__ import annotations

import asyncio
import itertools
import json

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from agentplatform.lib.concurrency import in_thread
from agents.models import Workflow
from runs.models import Message, Run, Status
from runs.protocols.mcp import tools
from tests.engine.workflows import publish_now
from tests.factories import AgentFactory, ApiKeyFactory, SessionFactory, ToolFactory
from tests.processes import web_process
from tests.runs.mcp_support import MODES, about, credentials, names, text_of

pytestmark = pytest.mark.django_db(transaction=True)


# what there is to call


@MODES
async def test_lists_the_enabled_agents_as_tools(mcp_client, agent, alice, workspace, mode):
    await in_thread(AgentFactory, workspace=workspace, name="writer")
    await in_thread(AgentFactory, workspace=workspace, name="retired", enabled=False)

    async with mcp_client(alice, mode) as client:
        assert await names(client) == ["agent_assistant", "agent_writer"]


async def test_describes_a_tool_by_its_agent(mcp_client, alice, workspace):
    await in_thread(AgentFactory, workspace=workspace, name="writer", description="Writes short texts.")

    async with mcp_client(alice) as client:
        [tool] = (await client.list_tools()).tools
    assert (tool.title, tool.description) == ("writer", "Writes short texts.")


async def test_asks_a_message_of_a_tools_caller(mcp_client, agent, alice):
    async with mcp_client(alice) as client:
        [tool] = (await client.list_tools()).tools
    assert (tool.input_schema["required"], sorted(tool.input_schema["properties"])) == (
        ["message"],
        ["message", "session_id"],
    )


async def test_lists_page_by_page(mcp_client, agent, alice, workspace, monkeypatch):
    monkeypatch.setattr(tools, "PAGE", 2)
    for name in "abcd":
        await in_thread(AgentFactory, workspace=workspace, name=name)
    found, cursor = [], None
    async with mcp_client(alice) as client:
        while cursor != "":
            page = await client.list_tools(cursor=cursor)
            found.append([tool.name for tool in page.tools])
            cursor = page.next_cursor or ""

    assert found == [["agent_a", "agent_assistant"], ["agent_b", "agent_c"], ["agent_d"]]


async def test_says_who_it_is(mcp_client, agent, alice):
    async with mcp_client(alice) as client:
        assert client.server_info.name == "agentplatform"


# a call


@MODES
async def test_answers_the_agents_words(mcp_client, agent_on, alice, mode):
    await in_thread(agent_on, "text-3", name="writer")

    async with mcp_client(alice, mode) as client:
        result = await client.call_tool("agent_writer", {"message": "Hello"})

    assert (text_of(result).split(), result.is_error) == (["word0", "word1", "word2"], False)


async def test_makes_each_call_a_run_like_any_other(mcp_client, agent_on, alice):
    await in_thread(agent_on, "text-3", name="writer")

    async with mcp_client(alice) as client:
        result = await client.call_tool("agent_writer", {"message": "Hello"})

    run = await in_thread(Run.objects.get)
    assert about(result)["run_id"] == str(run.pk)
    assert (run.user_id, run.agent_name, run.input_query, run.status) == (
        alice.pk,
        "writer",
        "Hello",
        Status.COMPLETED,
    )


async def test_tells_what_the_run_has_used(mcp_client, agent_on, alice):
    await in_thread(agent_on, "text-3", name="writer")

    async with mcp_client(alice) as client:
        result = await client.call_tool("agent_writer", {"message": "Hello"})

    assert about(result)["metrics"]["total_tokens"] == 4


async def test_goes_on_with_a_session(mcp_client, agent_on, alice, workspace):
    agent = await in_thread(agent_on, "text-3", name="writer")
    session = await in_thread(SessionFactory, workspace=workspace, user=alice, agent=agent)

    async with mcp_client(alice) as client:
        await client.call_tool("agent_writer", {"message": "Hello", "session_id": str(session.pk)})

    said = Message.objects.filter(session=session).order_by("pk").values_list("source", flat=True)
    assert await in_thread(list, said) == ["user", "writer"]


@MODES
async def test_tells_of_steps_calls_and_the_text_so_far(mcp_client, agent_on, alice, workspace, mode):
    calculator = await in_thread(ToolFactory, workspace=workspace, name="calculator")
    await in_thread(agent_on, "text-3", name="writer", tools=[calculator])
    told = []

    async def tell(progress, total, message):
        told.append((progress, message))

    async with mcp_client(alice, mode) as client:
        message = 'call calculator {"expression": "6 * 7"}'
        await client.call_tool("agent_writer", {"message": message}, progress_callback=tell)

    numbers, words = zip(*told, strict=True)
    assert list(numbers) == sorted(set(numbers))
    assert [text for text in words if text.startswith(("Step 1", "Calls", "calculator"))] == [
        "Step 1: model",
        "Calls calculator.",
        "calculator has answered.",
    ]
    assert any("42" in text for text in words)


async def test_tells_nothing_that_nobody_wants_to_be_told(mcp_post, agent, alice):
    call = {"name": "agent_assistant", "arguments": {"message": "Hello"}}
    answer = await asyncio.to_thread(mcp_post, alice, "tools/call", call)

    assert "notifications/progress" not in answer.text


# workflows

SUM = """
name: sum
description: Adds two numbers.
input: {properties: {a: {type: integer}, b: {type: integer}}, required: [a, b]}
state: {total: {type: integer}}
nodes:
  - {id: start, kind: start}
  - {id: add, kind: transform, set: {total: "input.a + input.b"}}
  - {id: end, kind: end, output: {total: "{{ state.total }}"}}
edges: [{from: start, to: add}, {from: add, to: end}]
"""
TEXT = """
name: text
nodes:
  - {id: start, kind: start}
  - {id: end, kind: end, output: "You said {{ input.message }}"}
edges: [{from: start, to: end}]
"""


async def test_lists_published_workflows_beside_agents(mcp_client, agent, alice, workspace):
    await in_thread(publish_now, workspace, SUM)

    async with mcp_client(alice) as client:
        assert await names(client) == ["agent_assistant", "workflow_sum"]


async def test_lists_no_workflow_that_is_not_published_or_not_enabled(mcp_client, alice, workspace):
    draft, retired = [await in_thread(publish_now, workspace, text) for text in (SUM, TEXT)]
    await in_thread(Workflow.objects.filter(pk=draft.pk).update, published=None)
    await in_thread(Workflow.objects.filter(pk=retired.pk).update, enabled=False)

    async with mcp_client(alice) as client:
        assert await names(client) == []


async def test_asks_for_the_input_of_the_published_version(mcp_client, alice, workspace):
    await in_thread(publish_now, workspace, SUM)

    async with mcp_client(alice) as client:
        [tool] = (await client.list_tools()).tools
    assert tool.input_schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }


@MODES
async def test_answers_a_workflows_output_as_text_and_as_a_value(mcp_client, alice, workspace, mode):
    await in_thread(publish_now, workspace, SUM)

    async with mcp_client(alice, mode) as client:
        result = await client.call_tool("workflow_sum", {"a": 17, "b": 25})

    assert (json.loads(text_of(result)), result.structured_content) == ({"total": 42}, {"total": 42})


async def test_answers_an_output_that_is_text_as_text_alone(mcp_client, alice, workspace):
    await in_thread(publish_now, workspace, TEXT)

    async with mcp_client(alice) as client:
        result = await client.call_tool("workflow_text", {"message": "hello"})

    assert (text_of(result), result.structured_content) == ("You said hello", None)


async def test_tells_of_a_workflows_nodes(mcp_client, alice, workspace):
    await in_thread(publish_now, workspace, SUM)
    told = []

    async def tell(progress, total, message):
        told.append(message)

    async with mcp_client(alice) as client:
        await client.call_tool("workflow_sum", {"a": 1, "b": 2}, progress_callback=tell)

    assert told == ["Step 1: transform (add)", "Step 2: end"]


async def test_tells_the_model_what_is_wrong_with_a_workflows_input(mcp_client, alice, workspace):
    await in_thread(publish_now, workspace, SUM)

    async with mcp_client(alice) as client:
        result = await client.call_tool("workflow_sum", {"a": "many"})

    assert (result.is_error, "ValidationError: input" in text_of(result)) == (True, True)


async def test_keeps_agent_and_workflow_of_one_name_apart(mcp_client, agent_on, alice, workspace):
    await in_thread(agent_on, "text-3", name="text")
    await in_thread(publish_now, workspace, TEXT)

    async with mcp_client(alice) as client:
        said = [
            text_of(await client.call_tool(name, {"message": "hello"}))
            for name in ("agent_text", "workflow_text")
        ]

    assert said == ["word0 word1 word2 ", "You said hello"]


async def test_shows_only_what_a_keys_scopes_permit(mcp_client, agent, alice, workspace):
    await in_thread(publish_now, workspace, SUM)
    key = await in_thread(ApiKeyFactory, workspace=workspace, user=alice, scopes=["execute:workflow"])

    async with mcp_client(key) as client:
        assert await names(client) == ["workflow_sum"]
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("agent_assistant", {"message": "Hello"})


async def test_knows_no_workflow_of_another_tenant(mcp_client, alice, charlie, workspace):
    await in_thread(publish_now, workspace, SUM)

    async with mcp_client(charlie) as client:
        with pytest.raises(MCPError, match="Unknown tool: workflow_sum"):
            await client.call_tool("workflow_sum", {"a": 1, "b": 2})
    assert not await in_thread(Run.objects.exists)


# what goes wrong


@MODES
async def test_answers_a_failed_run_with_its_class_and_message(mcp_client, agent_on, alice, mode):
    await in_thread(agent_on, "error-400", name="writer")

    async with mcp_client(alice, mode) as client:
        result = await client.call_tool("agent_writer", {"message": "Hello"})

    assert result.is_error
    assert text_of(result).startswith("provider_rejected: ")
    assert about(result)["error"]["class"] == "provider_rejected"


@MODES
async def test_knows_no_tool_that_is_not_there(mcp_client, agent, alice, mode):
    async with mcp_client(alice, mode) as client:
        with pytest.raises(MCPError, match="Unknown tool: agent_nobody"):
            await client.call_tool("agent_nobody", {"message": "Hello"})


@pytest.mark.parametrize(
    "name", ["assistant", "agent_", "agent_\u00e9", "workflow_assistant", "agent_retired", "tool_x"]
)
async def test_knows_no_tool_by_half_of_its_name(mcp_client, agent, alice, workspace, name):
    await in_thread(AgentFactory, workspace=workspace, name="retired", enabled=False)

    async with mcp_client(alice) as client:
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool(name, {"message": "Hello"})


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"message": 7},
        {"message": ""},
        {"message": "Hello", "more": 1},
        {"message": "Hello", "session_id": "x"},
    ],
    ids=str,
)
async def test_tells_the_model_what_is_wrong_with_its_arguments(mcp_client, agent, alice, arguments):
    async with mcp_client(alice) as client:
        result = await client.call_tool("agent_assistant", arguments)

    assert result.is_error
    assert text_of(result).startswith(("ValidationError: ", "SessionNotFound: "))
    assert not await in_thread(Run.objects.exists)


async def test_says_that_a_part_of_the_agent_is_disabled(mcp_client, agent, alice):
    await in_thread(agent.tools.update, enabled=False)

    async with mcp_client(alice) as client:
        result = await client.call_tool("agent_assistant", {"message": "Hello"})

    assert (result.is_error, "InvalidConfig" in text_of(result)) == (True, True)


async def test_names_run_and_approval_where_it_waits_for_a_person(mcp_client, alice, workspace):
    tool = await in_thread(ToolFactory, workspace=workspace, name="calculator", requires_approval=True)
    await in_thread(AgentFactory, workspace=workspace, name="accountant", tools=[tool])

    async with mcp_client(alice) as client:
        result = await client.call_tool("agent_accountant", {"message": "What is 6 * 7?"})

    run = await in_thread(Run.objects.get)
    [approval] = map(str, await in_thread(list, run.approvals.values_list("pk", flat=True)))
    assert (about(result)["status"], about(result)["approval_ids"]) == ("waiting", [approval])
    assert (str(run.pk) in text_of(result), approval in text_of(result)) == (True, True)


# several processes


@pytest.mark.slow
async def test_needs_no_process_that_remembers_the_client(lent_platform, agent_on, alice):
    """Each of a client's messages reaches another of two web processes, as behind a balancer."""
    await in_thread(agent_on, "text-3", name="writer")
    with web_process() as first, web_process() as second:
        turns = itertools.cycle([first, second])

        async def balance(request):
            turn = httpx2.URL(next(turns))
            request.url = request.url.copy_with(port=turn.port)

        hooks = {"request": [balance]}
        http = httpx2.AsyncClient(headers=credentials(alice), event_hooks=hooks, timeout=30)
        transport = streamable_http_client(f"{first}/mcp", http_client=http)
        async with http, Client(transport, mode="legacy") as client:
            listed = [await names(client) for _ in range(2)]
            said = [text_of(await client.call_tool("agent_writer", {"message": "Hi"})) for _ in range(2)]

    assert (listed, said) == ([["agent_writer"]] * 2, ["word0 word1 word2 "] * 2)
