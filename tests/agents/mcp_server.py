"""A small MCP server for tests: `mcp_server.py` over stdio, `mcp_server.py PORT [sessions]` over streamable HTTP.

Over HTTP it lets in whoever sends the header `X-Key: letmein`.
"""

from __future__ import annotations

import base64
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_tools import TOOLS
from mcp_types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from starlette.types import ASGIApp as ASGI
from starlette.types import Receive, Scope, Send

server = MCPServer("testing", version="1.2.3")
PIXELS = base64.b64encode(b"x" * 12_345).decode()


for tool in TOOLS:
    server.tool()(tool)


@server.tool()
def fail() -> str:
    """Fails."""
    raise ToolError("the warehouse is on fire")


@server.tool()
def media() -> CallToolResult:
    """Answers with everything that is not text."""
    readme = TextResourceContents(uri="file:///readme.md", mime_type="text/markdown", text="# Read me")
    return CallToolResult(
        content=[
            TextContent(text="Here they are:"),
            ImageContent(data=PIXELS, mime_type="image/png"),
            AudioContent(data=PIXELS, mime_type="audio/wav"),
            EmbeddedResource(resource=readme),
            ResourceLink(uri="file:///big.bin", name="big", mime_type="application/octet-stream", size=999),
        ],
        structured_content={"count": 4},
    )


def served(speaks_sessions: bool) -> ASGI:
    """The server's own application, behind a key. One that speaks sessions knows the protocol of 2025 only."""
    inner = server.streamable_http_app()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if scope["type"] == "http" and headers.get(b"x-key") != b"letmein":
            await refuse(send, 401)
        elif speaks_sessions and headers.get(b"mcp-method") == b"server/discover":
            await refuse(send, 404)
        else:
            await inner(scope, receive, send)

    return application


async def refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"No."})


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            server.run("stdio")
        case [port, *more]:
            uvicorn.run(served("sessions" in more), host="127.0.0.1", port=int(port), log_level="warning")
