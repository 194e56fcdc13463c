"""Rules that a tool obeys, whoever writes it. Every check raises Invalid with an entry per field."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentplatform.lib.errors import Invalid
from agents.models import Agent, KnowledgeBase, McpServer, Tool
from agents.specification import SEARCH_KNOWLEDGE
from agents.tools import functions
from agents.tools.base import MOST_LEVELS, is_too_deep
from agents.tools.schemas import MESSAGE_SCHEMA, QUERY_SCHEMA, schema_fault
from agents.tools.templates import METHODS, fixed_authority, header_fault, placeholders
from agents.validation import HEADER_VALUE, Faults, raise_faults, same_endpoint, url_fault

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
MEMORY_TOOLS = frozenset({"save_memory", "search_memory", "forget_memory"})
"""What agents with long-term memory have beside the tools that they were given."""
REQUEST_FIELDS = {"method", "url", "headers", "query", "body"}
MAX_REQUEST = 64_000
MAX_HEADERS = 50


@dataclass(frozen=True, slots=True)
class ToolParts:
    """What a tool is to be. Its kind decides which of the parts it has; the others are empty."""

    kind: str
    function: str
    request: Mapping[str, Any]
    header_names: Sequence[str]
    """Names of the secret headers, those that are stored and kept included."""
    arguments_schema: Any
    agent: Agent | None
    mcp_server: McpServer | None = None
    mcp_tool: str = ""
    knowledge_base: KnowledgeBase | None = None


def check_tool(parts: ToolParts, stored: Tool | None = None) -> None:
    """A tool as a whole. `stored` is the tool as it is now; None: it is new."""
    faults = _foreign_faults(parts)
    if fault := schema_fault(parts.arguments_schema):
        faults["arguments_schema"] = fault
    faults = _faults_by_kind[parts.kind](parts) | faults
    if stored and parts.agent and parts.agent.tools.filter(pk=stored.pk).exists():
        faults["agent"] = f"The agent {parts.agent.name!r} has this tool, so it would ask itself."
    raise_faults(faults)


def check_agent_tools(
    agent: Agent | None, tools: Sequence[Tool], memory: Mapping[str, Any] | None = None
) -> None:
    """The tools of an agent, None where it is new. One of them must not ask the agent itself, nor be called like
    those that the agent's `memory` brings along.
    """
    if names := [tool.name for tool in tools if agent and tool.agent_id == agent.pk]:
        raise Invalid({"tools": f"{', '.join(names)} asks this agent, so it would ask itself."})
    if names := sorted({tool.name for tool in tools} & own_names(memory or {})):
        message = (
            f"With memory.long_term the agent has {', '.join(names)} of its own. "
            "Rename the tool, take it off, or set memory.long_term to false."
        )
        raise Invalid({"tools": message})


def own_names(memory: Mapping[str, Any]) -> frozenset[str]:
    """The names of the tools that an agent has by its memory, beside those that it was given."""
    return MEMORY_TOOLS if memory.get("long_term") else frozenset()


def check_rename(tool: Tool, name: str) -> None:
    """A tool that an agent with memory has must not get the name of one that the agent has by itself."""
    if name == tool.name or name not in MEMORY_TOOLS:
        return
    if users := list(tool.agents.filter(memory__has_key="long_term").order_by("name")[:1]):
        raise Invalid({"name": f"The agent {users[0].name!r} has {name} of its own (memory.long_term)."})


def check_knowledge(names: Sequence[str], workspace_id: uuid.UUID, tools: Sequence[Tool]) -> None:
    """The knowledge bases of an agent, by their names, beside its tools."""
    rows = KnowledgeBase.objects.filter(workspace_id=workspace_id, name__in=list(names))
    known = set(rows.values_list("name", flat=True))
    if missing := [name for name in names if name not in known]:
        raise Invalid({"knowledge": f"There is no knowledge base {missing[0]!r}."})
    if names and any(tool.name == SEARCH_KNOWLEDGE for tool in tools):
        raise Invalid(
            {
                "knowledge": f"The agent has a tool of the name {SEARCH_KNOWLEDGE!r}, which searches these. Rename it."
            }
        )


def described(description: str, asked: Agent | KnowledgeBase | None) -> str:
    """A tool's description. One that asks an agent, or searches a knowledge base, is described as that, if nothing else
    is said.
    """
    return description or (asked.description if asked else "")


def check_tool_name(name: str) -> None:
    """Providers take fewer characters in a tool's name than the platform does in others."""
    if not TOOL_NAME.match(name):
        raise Invalid(
            {"name": "Use 1 to 64 letters, digits, underscores and hyphens; models accept no others."}
        )


def check_headers_kept(tool: Tool | None, request: Mapping[str, Any], kept: list[str]) -> None:
    """A stored secret header must not be sent to another server: those in `kept` would go there unseen."""
    if tool is None or not kept or same_endpoint(tool.request.get("url", ""), request.get("url", "")):
        return
    raise Invalid(
        {"secret_headers": f"The URL leads to another server: enter {', '.join(kept)} again, or null."}
    )


def _foreign_faults(parts: ToolParts) -> Faults:
    """The parts that belong to tools of another kind."""
    given = {
        "function": (Tool.ToolKind.FUNCTION, parts.function),
        "request": (Tool.ToolKind.HTTP, parts.request),
        "secret_headers": (Tool.ToolKind.HTTP, parts.header_names),
        "agent": (Tool.ToolKind.AGENT, parts.agent),
        "mcp_server": (Tool.ToolKind.MCP, parts.mcp_server),
        "mcp_tool": (Tool.ToolKind.MCP, parts.mcp_tool),
        "knowledge_base": (Tool.ToolKind.KNOWLEDGE, parts.knowledge_base),
    }
    return {
        field: f'Only tools of kind "{kind}" have this; leave it out.'
        for field, (kind, value) in given.items()
        if value and kind != parts.kind
    }


def _function_faults(parts: ToolParts) -> Faults:
    if parts.function in functions.registry:
        return {}
    known = ", ".join(sorted(functions.registry))
    return {"function": f"There is no function {parts.function!r}. There are: {known}."}


def _agent_faults(parts: ToolParts) -> Faults:
    faults: Faults = {}
    if parts.agent is None:
        faults["agent"] = "Give the name or the id of the agent that the tool asks."
    # The fixed schema is what such a tool is read with, so it may be sent back.
    if parts.arguments_schema not in ({}, MESSAGE_SCHEMA):
        faults["arguments_schema"] = "An agent is always asked with one message; leave the schema out."
    return faults


def _mcp_faults(parts: ToolParts) -> Faults:
    faults: Faults = {}
    if parts.mcp_server is None:
        faults["mcp_server"] = "Give the name or the id of the MCP server whose tool it is."
    if not parts.mcp_tool:
        faults["mcp_tool"] = "Give the tool's name at its MCP server. Discovering the server shows them."
    return faults


def _knowledge_faults(parts: ToolParts) -> Faults:
    faults: Faults = {}
    if parts.knowledge_base is None:
        faults["knowledge_base"] = "Give the name or the id of the knowledge base that it searches."
    if parts.arguments_schema not in ({}, QUERY_SCHEMA):
        faults["arguments_schema"] = "A knowledge base is always asked with one query; leave the schema out."
    return faults


def _http_faults(parts: ToolParts) -> Faults:
    faults = request_faults(parts.request)
    faults = faults or _placeholder_faults(parts.request, parts.arguments_schema)
    return faults | {
        f"secret_headers.{name}": fault for name in parts.header_names if (fault := header_fault(name))
    }


def request_faults(request: Mapping[str, Any]) -> Faults:
    """What is wrong with the template of a request."""
    faults: Faults = {}
    if unknown := sorted(set(request) - REQUEST_FIELDS):
        faults["request"] = (
            f"Unknown: {', '.join(unknown)}. A request has {', '.join(sorted(REQUEST_FIELDS))}."
        )
    if is_too_deep(request):
        return {"request": f"The request is nested more than {MOST_LEVELS} levels deep."}
    if len(json.dumps(request)) > MAX_REQUEST:
        faults["request"] = f"The request is longer than {MAX_REQUEST:,} characters."
    if request.get("method", "GET") not in METHODS:
        faults["request.method"] = f"Use one of {', '.join(METHODS)}."
    if fault := _template_url_fault(request.get("url")):
        faults["request.url"] = fault
    faults |= _header_faults(request.get("headers", {}))
    query = request.get("query", {})
    if not isinstance(query, dict) or any(isinstance(value, dict) for value in query.values()):
        faults["request.query"] = "Give an object of names and values."
    return faults


def _template_url_fault(url: Any) -> str | None:
    if not isinstance(url, str) or not url:
        return "Give the absolute URL, beginning with https:// or http://."
    if not fixed_authority(url):
        return "Placeholders may stand in the path and the query only, not in the scheme or the host."
    return url_fault(url)


def _header_faults(headers: Any) -> Faults:
    if not isinstance(headers, dict) or len(headers) > MAX_HEADERS:
        return {"request.headers": f"Give an object of at most {MAX_HEADERS} names and values."}
    faults = {f"request.headers.{name}": fault for name in headers if (fault := header_fault(name))}
    for name, value in headers.items():
        if not isinstance(value, str) or not HEADER_VALUE.match(value):
            faults[f"request.headers.{name}"] = "Give a string without line breaks."
    return faults


def _placeholder_faults(request: Mapping[str, Any], schema: Any) -> Faults:
    known = schema.get("properties", {}) if isinstance(schema, dict) else {}
    if unknown := sorted(placeholders(request) - set(known)):
        names = ", ".join(f"{{{name}}}" for name in unknown)
        return {
            "request": f"{names}: describe it under properties in arguments_schema, for the model to know it."
        }
    return {}


_faults_by_kind: dict[str, Callable[[ToolParts], Faults]] = {
    Tool.ToolKind.FUNCTION: _function_faults,
    Tool.ToolKind.HTTP: _http_faults,
    Tool.ToolKind.AGENT: _agent_faults,
    Tool.ToolKind.MCP: _mcp_faults,
    Tool.ToolKind.KNOWLEDGE: _knowledge_faults,
}
