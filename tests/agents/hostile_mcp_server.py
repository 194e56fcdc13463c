"""MCP servers over stdio that mean harm: `hostile_mcp_server.py pattern|infinite|endless`, each in a way of its own."""

from __future__ import annotations

import json
import sys
from typing import Any

ENDLESS_PAGE = 200_000
"""Characters of a page of the list that never ends."""


def listed(way: str) -> dict[str, Any]:
    """A page of the list of tools."""
    tool: dict[str, Any] = {"name": "ask", "inputSchema": {"type": "object"}}
    match way:
        case "pattern":
            tool["outputSchema"] = {"type": "object", "properties": {"x": {"pattern": "^(a+)+$"}}}
        case "infinite":
            tool["inputSchema"]["properties"] = {"x": {"type": "number", "default": float("inf")}}
        case "endless":
            return {"tools": [tool | {"description": "x" * ENDLESS_PAGE}], "nextCursor": "more"}
    return {"tools": [tool]}


def answer(request: dict[str, Any], way: str) -> dict[str, Any]:
    """The result of a request, or the error."""
    match request["method"]:
        case "initialize":
            return {
                "result": {
                    "protocolVersion": request["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "hostile", "version": "1"},
                }
            }
        case "tools/list":
            return {"result": listed(way)}
        case "tools/call":
            return {"result": {"content": [], "structuredContent": {"x": "a" * 26 + "!"}}}
        case _:
            return {"error": {"code": -32601, "message": "There is no such method."}}


if __name__ == "__main__":
    for line in sys.stdin:
        if "id" in (message := json.loads(line)):
            print(
                json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer(message, sys.argv[1])}),
                flush=True,
            )
