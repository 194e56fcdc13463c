"""MCP servers that mean harm, and what may be given to a command: nothing of it reaches beyond their own calls."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest
import pytest_asyncio

from agents.mcp import pool, sessions
from agents.mcp.commands import environment, variable_fault
from agents.mcp.faults import McpFault
from agents.tools.call import call
from tests.agents.mcp_support import mcp_spec, stdio_server

HOSTILE = str(Path(__file__).with_name("hostile_mcp_server.py"))


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.MCP_ALLOWED_COMMANDS = [sys.executable]


@pytest_asyncio.fixture(autouse=True)
async def _closed():
    yield
    await pool.close()


async def longest_standstill(task: asyncio.Task) -> float:
    """Seconds that this event loop stood still at once while the task went on."""
    longest = 0.0
    while not task.done():
        began = time.monotonic()
        await asyncio.sleep(0.02)
        longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.django_db
async def test_checks_no_answer_by_a_pattern_of_the_servers():
    called = asyncio.create_task(call(mcp_spec(stdio_server(HOSTILE, "pattern"), "ask"), {}, {}, "key"))
    assert await longest_standstill(called) < 1.0
    assert called.result().content == {"x": "a" * 26 + "!"}


@pytest.mark.django_db
async def test_stops_reading_a_list_that_is_too_long(monkeypatch):
    monkeypatch.setattr(sessions, "MOST_CHARACTERS", 500_000)
    listed = await pool.once(stdio_server(HOSTILE, "endless"), {}, lambda session: session.tools)
    assert isinstance(listed, McpFault)
    assert "500,000 characters" in listed.message


@pytest.mark.django_db
def test_takes_no_number_that_json_does_not_have(api, alice):
    server = {"name": "hostile", "transport": "stdio", "command": sys.executable}
    api(alice).post("/mcp-servers", server | {"arguments": [HOSTILE, "infinite"]})
    found = api(alice).post("/mcp-servers/hostile/discover", {}).json()
    assert (found["ok"], "Infinity" in found["message"]) == (False, True)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LD_PRELOAD",
        "ld_preload",
        "DYLD_INSERT_LIBRARIES",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PERL5OPT",
        "RUBYOPT",
        "BASH_ENV",
        "ENV",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "npm_config_registry",
        "NPM_CONFIG_REGISTRY",
        "GIT_SSH_COMMAND",
        "DOTNET_STARTUP_HOOKS",
        "UV_INDEX_URL",
    ],
)
def test_gives_a_command_no_variable_that_makes_it_run_code(name):
    assert variable_fault(name)
    assert environment({name: "x"}).get(name) != "x"


@pytest.mark.parametrize("name", ["TOKEN", "GITHUB_TOKEN", "NODE_ENV", "ENVIRONMENT", "PATHS", "NPM_TOKEN"])
def test_gives_a_command_other_variables(name):
    assert environment({name: "x"})[name] == "x"
