"""Tools of kind `mcp`: a tool of a server that speaks the Model Context Protocol."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from agents.mcp import pool
from agents.mcp.results import result_of_answer
from agents.specification import McpServerSpecification, ToolSpecification
from agents.tools.base import ToolFault, ToolResult

Values = dict[str, str]


async def call_mcp(
    spec: ToolSpecification, arguments: Mapping[str, Any], secrets: Mapping[uuid.UUID, str], key: str = ""
) -> ToolResult:
    """Calls the tool at its server. Raises ToolFault for every failure.

    The protocol has no keys for repeated calls, so `key` goes nowhere. Values of secrets that the answer quotes are
    blackened.
    """
    assert spec.mcp_server is not None
    values = values_of(spec.mcp_server, secrets)
    try:
        answer = await pool.call(
            spec.mcp_server,
            values,
            spec.mcp_tool,
            arguments,
            seconds=spec.timeout_seconds,
            idempotent=spec.idempotent,
        )
    except pool.McpFault as fault:
        raise ToolFault(fault.message, retryable=fault.retryable) from fault
    return result_of_answer(answer, values.values())


def values_of(server: McpServerSpecification, secrets: Mapping[uuid.UUID, str]) -> Values:
    """The values of the server's secrets by name. Raises ToolFault where one is gone."""
    if gone := [name for name, secret in server.secrets.items() if secret not in secrets]:
        raise ToolFault(
            f"The secret {gone[0]!r} of the MCP server {server.name!r} does not exist any more. Set it again."
        )
    return {name: secrets[secret] for name, secret in server.secrets.items()}
