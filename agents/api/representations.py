"""The JSON of rows, written out, and the query sets that bring what it needs in one query.

They are read far more often than written, and a generic walk over a serializer's fields takes several times
as long. Names of related rows come as columns: whole rows would bring versions, and decrypt secrets.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, Func, JSONField, OuterRef

from agents.models import Agent, ChatModel, Fallback, McpServer, Tool, Version, Workflow
from agents.snapshots import without_secret_ids
from agents.tools import functions
from agents.tools.schemas import MESSAGE_SCHEMA
from agents.workflows.drafts import export

Json = dict[str, Any]

FALLBACKS = Fallback.objects.filter(model=OuterRef("pk")).order_by("position", "id")
TOOLS = Tool.objects.filter(agents=OuterRef("pk")).order_by("name")
VERSION_NUMBER = F("version__number")

models = ChatModel.objects.annotate(
    version_number=VERSION_NUMBER,
    key_hint=F("secret__hint"),
    fallback_names=ArraySubquery(FALLBACKS.values("fallback__name")),
)
tools = Tool.objects.annotate(
    version_number=VERSION_NUMBER, agent_name=F("agent__name"), server_name=F("mcp_server__name")
)
agents = Agent.objects.annotate(
    version_number=VERSION_NUMBER, model_name=F("model__name"), tool_names=ArraySubquery(TOOLS.values("name"))
)

# A server may list megabytes of tools; their names are shown.
mcp_servers = McpServer.objects.defer("discovered").annotate(
    version_number=VERSION_NUMBER,
    tool_names=Func(
        F("discovered"),
        template="jsonb_path_query_array(%(expressions)s, '$[*].name')",
        output_field=JSONField(),
    ),
)


workflows = Workflow.objects.select_related("version", "published").annotate(
    version_number=VERSION_NUMBER, published_number=F("published__number")
)


def model_json(model: Any) -> Json:
    """A row of `models`."""
    return _common(model) | {
        "provider": model.provider,
        "model": model.model,
        "base_url": model.base_url,
        "api_key_hint": model.key_hint,
        "parameters": model.parameters,
        "inputs": model.inputs,
        "fallbacks": model.fallback_names,
    }


def tool_json(tool: Any) -> Json:
    """A row of `tools`. What its kind says by itself is shown where the row leaves it empty."""
    registered = functions.registry.get(tool.function)
    return _common(tool) | {
        "description": tool.description or (registered.description if registered else ""),
        "kind": tool.tool_kind,
        "function": tool.function,
        "request": tool.request or None,
        "secret_header_hints": {name: entry["hint"] for name, entry in tool.secret_headers.items()},
        "agent": tool.agent_name,
        "mcp_server": tool.server_name,
        "mcp_tool": tool.mcp_tool,
        "arguments_schema": tool.arguments_schema or _own_schema(tool, registered),
        "timeout_seconds": tool.timeout_seconds,
        "idempotent": tool.idempotent,
        "requires_approval": tool.requires_approval,
        "approval_timeout_seconds": tool.approval_timeout_seconds,
        "approval_default": tool.approval_default,
    }


def _own_schema(tool: Any, registered: functions.Function | None) -> Json:
    if tool.tool_kind == Tool.ToolKind.AGENT:
        return MESSAGE_SCHEMA
    return registered.schema if registered else {}


def agent_json(agent: Any) -> Json:
    """A row of `agents`."""
    return _common(agent) | {
        "model": agent.model_name,
        "tools": agent.tool_names,
        "memory": agent.memory,
        "knowledge": agent.knowledge,
        "system_prompt": agent.system_prompt,
        "config": agent.config,
        "tags": agent.tags,
        "is_default": agent.is_default,
    }


def mcp_server_json(server: Any) -> Json:
    """A row of `mcp_servers`."""
    return _common(server) | {
        "transport": server.transport,
        "command": server.command,
        "arguments": server.arguments,
        "environment": server.environment,
        "url": server.url,
        "headers": server.headers,
        "secret_hints": {name: entry["hint"] for name, entry in server.secret_values.items()},
        "timeout_seconds": server.timeout_seconds,
        "health": server.health,
        "health_message": server.health_message,
        "checked_at": server.checked_at,
        "server_info": server.server_info,
        "discovered": server.tool_names,
    }


def version_json(version: Version) -> Json:
    return {
        "number": version.number,
        "name": version.name,
        "change": version.change,
        "author": version.author,
        "hash": version.hash,
        "created_at": version.created_at,
        "data": without_secret_ids(version.data),
    }


def workflow_item_json(workflow: Any) -> Json:
    """A row of `workflows` in a list."""
    return _common(workflow) | {
        "tags": workflow.tags,
        "published_version": workflow.published_number,
        "published_at": workflow.published_at,
    }


def workflow_json(workflow: Any) -> Json:
    """A row of `workflows`."""
    return workflow_item_json(workflow) | {"document": workflow.document, "source": export(workflow)}


def _common(row: Any) -> Json:
    return {
        "id": str(row.pk),
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "version": row.version_number,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
