"""MCP tools in runs, and that workers leave no server behind, however they end."""

from __future__ import annotations

import json
import signal
import sys

import httpx2
import psutil
import pytest

from agentplatform.lib.concurrency import in_thread
from tests.agents.mcp_support import PLAIN_SERVER, gone, servers_of_this_process
from tests.engine.support import data, events_of, finished, last_event, start
from tests.factories import ApiKeyFactory, McpServerFactory, McpToolFactory
from tests.processes import process, worker_process

pytestmark = pytest.mark.django_db(transaction=True)

ANY = {"type": "object"}


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.MCP_ALLOWED_COMMANDS = [sys.executable]


@pytest.fixture
def mcp_server(workspace):
    return McpServerFactory(
        workspace=workspace,
        name="testing",
        transport="stdio",
        url="",
        command=sys.executable,
        arguments=[PLAIN_SERVER],
    )


@pytest.fixture
def mcp_tool(workspace, mcp_server):
    """`mcp_tool("add")`: the tool of the tests' server that has this name."""

    def make(name: str, **values):
        values = {"arguments_schema": ANY, **values}
        return McpToolFactory(workspace=workspace, name=name, mcp_server=mcp_server, mcp_tool=name, **values)

    return make


async def asked(alice, agent_on, tool, line):
    """A run of an agent with this tool, which is told what to call."""
    return await start(alice, await in_thread(agent_on, "text", tools=[tool]), line)


async def test_tells_the_model_what_the_server_answers(worker, agent_on, mcp_tool, alice):
    run = await asked(alice, agent_on, await in_thread(mcp_tool, "add"), 'call add {"a": 17, "b": 4}')
    events = await events_of(run.id)
    [result] = [data(event)["result"] for event in events if event.type == "tool_call_completed"]
    assert result == {"sum": 21}


async def test_lets_the_model_deal_with_a_server_that_dies(worker, agent_on, mcp_tool, alice, tmp_path):
    marker = json.dumps({"marker": str(tmp_path / "calls")})
    run = await asked(alice, agent_on, await in_thread(mcp_tool, "die"), f"call die {marker}")
    assert (await finished(run)).status == "completed"
    assert "whether the call has had its effect" in (await last_event(run, "tool_call_failed"))["error"]


async def test_shows_that_a_server_was_reached(worker, agent_on, mcp_server, mcp_tool, alice):
    run = await asked(alice, agent_on, await in_thread(mcp_tool, "add"), 'call add {"a": 1, "b": 2}')
    await finished(run)
    await mcp_server.arefresh_from_db()
    assert mcp_server.health == "healthy"


async def test_shows_that_a_server_fails(worker, agent_on, mcp_server, mcp_tool, alice, settings):
    settings.MCP_ALLOWED_COMMANDS = []
    run = await asked(alice, agent_on, await in_thread(mcp_tool, "add"), 'call add {"a": 1, "b": 2}')
    await finished(run)
    await mcp_server.arefresh_from_db()
    assert (mcp_server.health, "MCP_ALLOWED_COMMANDS" in mcp_server.health_message) == ("failing", True)


async def test_leaves_no_server_behind_a_worker_that_stops(worker, agent_on, mcp_tool, alice):
    run = await asked(alice, agent_on, await in_thread(mcp_tool, "add"), 'call add {"a": 1, "b": 2}')
    await finished(run)
    [server] = servers_of_this_process()
    await worker.stop()
    assert not server.is_running()


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name
)
async def test_leaves_no_server_behind_a_process_that_ends(
    close_connections, agent_on, mcp_tool, alice, number
):
    with worker_process(MCP_ALLOWED_COMMANDS=sys.executable) as worker:
        run = await asked(alice, agent_on, await in_thread(mcp_tool, "process_id"), "call process_id {}")
        await finished(run)
        server = psutil.Process(int((await last_event(run, "tool_call_completed"))["result"]["result"]))
        worker.send_signal(number)
        worker.wait()
        assert gone(server)


@pytest.mark.slow
async def test_leaves_no_server_behind_a_web_process_that_ends(close_connections, mcp_tool, alice, workspace):
    tool = await in_thread(mcp_tool, "process_id")
    key = await in_thread(ApiKeyFactory, workspace=workspace, user=alice)
    command = ("manage.py", "run_platform", "--no-demo")
    web = {"AGENTPLATFORM_EMBEDDED_WORKER": "false", "HOST": "127.0.0.1", "PORT": "0"}
    with process(*command, ready="runs at ", MCP_ALLOWED_COMMANDS=sys.executable, **web) as (platform, line):
        url = f"{line.split('runs at ')[1].strip()}/api/v1/tools/{tool.name}/test"
        trial = await in_thread(httpx2.post, url, json={}, headers={"X-API-Key": key.text}, timeout=30)
        server = psutil.Process(int(trial.json()["result"]["text"]))
        assert server.is_running()
        platform.terminate()
        platform.wait()
        assert gone(server)
