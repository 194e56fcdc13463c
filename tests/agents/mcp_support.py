"""What tests of MCP servers share: the small servers of the tests, as specifications and as processes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from agents.specification import McpServerSpecification, ToolSpecification

SERVER = str(Path(__file__).with_name("mcp_server.py"))
"""With the official SDK."""
PLAIN_SERVER = str(Path(__file__).with_name("plain_mcp_server.py"))
"""Without it: where a test is of the process, and not of what the SDK says."""
KEY = "letmein"
PATIENCE_SECONDS = 20


def stdio_server(*arguments: str, **values: Any) -> McpServerSpecification:
    """A server as a command. A new version of it, and so a session of its own, with each call."""
    return _server(
        transport="stdio", command=sys.executable, arguments=arguments or (PLAIN_SERVER,), **values
    )


def http_server(port: int, **values: Any) -> McpServerSpecification:
    """The tests' server on a local port."""
    return _server(
        **{"transport": "http", "url": f"http://127.0.0.1:{port}/mcp", "headers": {"X-Key": KEY}, **values}
    )


def _server(**values: Any) -> McpServerSpecification:
    defaults = {"name": "testing", "timeout_seconds": 20.0}
    return McpServerSpecification(version_id=uuid.uuid4(), id=uuid.uuid4(), **{**defaults, **values})


def mcp_spec(server: McpServerSpecification, tool: str, **values: Any) -> ToolSpecification:
    """A tool of the server that takes any arguments."""
    one = uuid.uuid4()
    return ToolSpecification(
        one,
        one,
        tool,
        "A tool.",
        "mcp",
        mcp_server=server,
        mcp_tool=tool,
        **{"arguments_schema": ANY, **values},
    )


ANY = {"type": "object"}


@contextmanager
def http_process(port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The tests' server listening on the port."""
    with listening(port, sys.executable, SERVER, str(port), *options) as process:
        yield process


@contextmanager
def listening(port: int, *command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process from when it listens on the port."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        _await_port(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "The server has ended."
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"Nothing listens on port {port}.")


def servers_of_this_process() -> list[psutil.Process]:
    """The servers over stdio that are its children."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if _command_line(child)[-1:] in ([SERVER], [PLAIN_SERVER])]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    """Whether it ends soon; one that nobody has waited for has ended too."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
