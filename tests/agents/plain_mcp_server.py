"""The tests' MCP server without the SDK, over stdio: it starts in a tenth of the second that the SDK takes."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from typing import Any

from mcp_tools import TOOLS

CALLS = {tool.__name__: tool for tool in TOOLS}
INFORMATION = {"name": "testing", "version": "1.2.3"}
NO_METHOD = -32601


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, or the error."""
    params = request.get("params", {})
    match request["method"]:
        case "initialize":
            opening = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}}
            return {"result": opening | {"serverInfo": INFORMATION}}
        case "tools/list":
            return {"result": {"tools": [listed(name) for name in CALLS]}}
        case "tools/call":
            said = CALLS[params["name"]](**params.get("arguments", {}))
            return {"result": result(await said if inspect.isawaitable(said) else said)}
        case _:
            return {"error": {"code": NO_METHOD, "message": "There is no such method."}}


def listed(name: str) -> dict[str, Any]:
    return {"name": name, "description": inspect.getdoc(CALLS[name]), "inputSchema": {"type": "object"}}


def result(said: Any) -> dict[str, Any]:
    """As the SDK shows what a tool has returned."""
    texts = said if isinstance(said, list) else [said if isinstance(said, str) else json.dumps(said)]
    return {
        "content": [{"type": "text", "text": text} for text in texts],
        "structuredContent": said if isinstance(said, dict) else {"result": said},
    }


async def respond(request: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **await answer(request)}), flush=True)


async def serve() -> None:
    """Reads on while calls are under way, to the end of its input."""
    under_way = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        if "id" in (message := json.loads(line)):
            under_way.add(task := asyncio.create_task(respond(message)))
            task.add_done_callback(under_way.discard)


if __name__ == "__main__":
    asyncio.run(serve())
