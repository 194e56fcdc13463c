"""The MCP server as the official SDK has it. Imported with the first request, as it brings much along.

One server for each request, in its caller's name, and nothing that outlives it: what the caller may see cannot leak
into another's, and there is no session that only one of several processes would know.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import mcp_types as types
from django.conf import settings
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from sse_starlette.sse import AppStatus

from accounts.actor import Actor
from agentplatform.lib.body_limit import Application, Receive, Send
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import NotFound, PlatformError
from runs.protocols.mcp.calls import Outcome, Tell, call_tool, refusal
from runs.protocols.mcp.cancelling import Origin
from runs.protocols.mcp.tools import OfferedTool, list_tools

INSTRUCTIONS = (
    "The agents and workflows of a workspace. A tool agent_NAME asks an agent with a message and answers with what it "
    "says; a tool workflow_NAME runs a workflow on its input. Every call is a run, which the result names. A run may "
    "wait for a person: its result says so, and where its answer will be."
)
ABOUT = "agentplatform/"
"""The prefix of our keys in a result's `_meta`."""

# At SIGTERM a call is answered that its run goes on (`runs.live`); the stream must not be cut off before that.
AppStatus.disable_automatic_graceful_drain()


def application(actor: Actor, session_id: str) -> Application:
    """The ASGI application that answers one request of the actor's, from a client that was given that session id."""

    async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        manager = StreamableHTTPSessionManager(
            _server(actor, session_id),
            stateless=True,
            # Host and origin have been looked at by then.
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=settings.MAX_REQUEST_BYTES,
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return serve


def _server(actor: Actor, session_id: str) -> Server[Any]:
    async def on_list_tools(
        context: Any, parameters: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        cursor = (parameters.cursor if parameters else None) or ""
        tools, next_cursor = await in_thread(list_tools, actor, cursor)
        return types.ListToolsResult(tools=list(map(_tool, tools)), next_cursor=next_cursor or None)

    async def on_call_tool(context: Any, parameters: types.CallToolRequestParams) -> types.CallToolResult:
        origin = Origin(session_id, context.request_id)
        return _result(await _called(actor, parameters, origin, _tell(context)))

    return Server(
        "agentplatform",
        title=settings.APP_NAME,
        version=settings.VERSION,
        instructions=INSTRUCTIONS,
        # None of our tools takes arguments from headers.
        get_tool_input_schema=lambda name: None,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
    )


async def _called(
    actor: Actor, parameters: types.CallToolRequestParams, origin: Origin, tell: Tell | None
) -> Outcome:
    """The outcome of a call. What the model can mend is an outcome, too; an unknown tool is the protocol's error."""
    try:
        return await call_tool(actor, parameters.name, parameters.arguments or {}, origin, tell)
    except NotFound as error:
        if error.error_type == "ToolNotFound":
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {parameters.name}") from error
        return refusal(error)
    except PlatformError as error:
        return refusal(error)


def _tell(context: Any) -> Tell | None:
    """How the caller wants to be told of progress; None where it does not."""
    if not (context.meta and context.meta.get("progress_token") is not None):
        return None

    async def tell(number: int, words: str) -> None:
        await context.session.report_progress(number, message=words)

    return tell


def _tool(offered: OfferedTool) -> types.Tool:
    return types.Tool(
        name=offered.name,
        title=offered.title,
        description=offered.description,
        input_schema=dict(offered.input_schema),
    )


def _result(outcome: Outcome) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=outcome.text)],
        structured_content=outcome.structured,
        is_error=outcome.is_error,
        _meta={f"{ABOUT}{name}": value for name, value in outcome.about.items()},
    )
