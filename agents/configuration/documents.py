"""The documents of models, tools, agents, workflows and MCP servers: from a version's data, and from a row.

Their fields are those that the API of each takes. Both ways lead through `document_of`, so that what a component is
and what it was can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.configuration.sections import Json, StoredSecret, with_placeholders
from agents.models import Kind
from agents.versions import compare
from agents.workflows import text

_COMMON: Json = {"description": "", "enabled": True}
TYPES: dict[str, str] = {kind.value: kind.value.replace("-", "_") for kind in Kind}
REQUIRED: dict[str, tuple[str, ...]] = {
    Kind.MODEL: ("provider", "model"),
    Kind.MCP_SERVER: ("transport",),
    Kind.TOOL: ("kind",),
    Kind.AGENT: ("model",),
    Kind.WORKFLOW: ("document",),
}
DEFAULTS: dict[str, Json] = {
    Kind.MODEL: _COMMON
    | {"purpose": "chat", "base_url": "", "parameters": {}, "inputs": [], "fallbacks": []},
    Kind.MCP_SERVER: _COMMON
    | {
        "command": "",
        "arguments": [],
        "environment": {},
        "url": "",
        "headers": {},
        "timeout_seconds": 30,
    },
    Kind.TOOL: _COMMON
    | {
        "function": "",
        "request": None,
        "agent": None,
        "mcp_server": None,
        "mcp_tool": "",
        "knowledge_base": None,
        "arguments_schema": {},
        "timeout_seconds": 30,
        "idempotent": False,
        "requires_approval": False,
        "approval_timeout_seconds": None,
        "approval_default": "reject",
    },
    Kind.AGENT: _COMMON
    | {"system_prompt": "", "tools": [], "knowledge": [], "memory": {}, "config": {}, "tags": []},
    Kind.WORKFLOW: _COMMON | {"tags": []},
}
KEPT: dict[str, Json] = {
    Kind.MODEL: {"api_key": None},
    Kind.TOOL: {"secret_headers": {}},
    Kind.MCP_SERVER: {"secrets": {}},
    Kind.AGENT: {},
    Kind.WORKFLOW: {"published": False},
}
"""What a document that leaves it out leaves as it is, and what stands for none."""


def document_of(kind: str, data: Mapping[str, Any]) -> Json:
    """The complete document of a version's data; what a version of an earlier release lacks has its default."""
    document = {name: data.get(name, default) for name, default in DEFAULTS[kind].items()}
    ordered = {name: data[name] for name in REQUIRED[kind]} | document
    head = {name: ordered.pop(name) for name in _COMMON}
    return _sorted({**head, **_SHAPES[kind](ordered, data)})


def _model(document: Json, data: Mapping[str, Any]) -> Json:
    stored = data.get("api_key")
    return document | {"api_key": _secret(stored, f"model/{data['name']}/api_key") if stored else None}


def _tool(document: Json, data: Mapping[str, Any]) -> Json:
    return document | {
        "request": request_of(document["request"]),
        "secret_headers": _secrets(data.get("secret_headers"), f"tool/{data['name']}/secret_headers"),
    }


def request_of(stored: Any) -> Any:
    """A tool's request without what is empty in it; None: it has none."""
    if not isinstance(stored, Mapping):
        return stored
    return (
        {"method": "GET", **{name: value for name, value in stored.items() if value not in ({}, None)}}
        if stored
        else None
    )


def _mcp_server(document: Json, data: Mapping[str, Any]) -> Json:
    return document | {"secrets": _secrets(data.get("secret_values"), f"mcp_server/{data['name']}/secrets")}


def _agent(document: Json, data: Mapping[str, Any]) -> Json:
    memory = dict(document["memory"])
    if memory.get("summarize") and data.get("summary_model"):
        memory["summarize"] = {**memory["summarize"], "model": data["summary_model"]}
    return document | {"memory": memory}


def _workflow(document: Json, data: Mapping[str, Any]) -> Json:
    tags = {"tags": document.pop("tags")}
    published = {"published": data["published"]} if "published" in data else {}
    return tags | published | document


def _secret(stored: Mapping[str, str], name: str) -> StoredSecret:
    return StoredSecret(stored["secret"], stored["hint"], name)


def _secrets(stored: Mapping[str, Any] | None, name: str) -> Json:
    return {header: _secret(entry, f"{name}/{header}") for header, entry in (stored or {}).items()}


_SHAPES: dict[str, Callable[[Json, Mapping[str, Any]], Json]] = {
    Kind.MODEL: _model,
    Kind.TOOL: _tool,
    Kind.MCP_SERVER: _mcp_server,
    Kind.AGENT: _agent,
    Kind.WORKFLOW: _workflow,
}


def _sorted(document: Json) -> Json:
    """Fields in their order, and what stands in them by name: the database keeps no order of its own."""
    return {
        name: text.ordered(value)
        if name in ("document", "published") and isinstance(value, dict)
        else by_name(value)
        for name, value in document.items()
    }


def by_name(value: Any) -> Any:
    """With the fields of all objects in the order of their names."""
    if isinstance(value, dict):
        return {name: by_name(value[name]) for name in sorted(value)}
    return [by_name(item) for item in value] if isinstance(value, list) else value


# --- a row, as its version's data would be ---


def _common_data(row: Any) -> Json:
    return {"name": row.name, "description": row.description, "enabled": row.enabled}


def model_data(row: Any) -> Json:
    """Of a row of `representations.models`."""
    fields = ("provider", "purpose", "model", "base_url", "parameters", "inputs")
    key = {"secret": str(row.secret_id), "hint": row.key_hint} if row.secret_id else None
    own = {name: getattr(row, name) for name in fields}
    return _common_data(row) | own | {"api_key": key, "fallbacks": row.fallback_names}


def tool_data(row: Any) -> Json:
    """Of a row of `representations.tools`."""
    related = {"agent": row.agent_name, "mcp_server": row.server_name, "knowledge_base": row.base_name}
    own = {name: getattr(row, name) for name in DEFAULTS[Kind.TOOL].keys() - related.keys()}
    return own | related | {"name": row.name, "kind": row.tool_kind, "secret_headers": row.secret_headers}


def mcp_server_data(row: Any) -> Json:
    """Of a row of `representations.mcp_servers`."""
    own = {name: getattr(row, name) for name in ("transport", *DEFAULTS[Kind.MCP_SERVER])}
    return own | {"name": row.name, "secret_values": row.secret_values}


def agent_data(row: Any) -> Json:
    """Of a row of `representations.agents`."""
    own = {name: getattr(row, name) for name in ("system_prompt", "knowledge", "memory", "config", "tags")}
    related = {"model": row.model_name, "tools": row.tool_names, "summary_model": row.writer_name}
    return _common_data(row) | own | related


def workflow_data(row: Any) -> Json:
    """Of a row of `representations.workflows`: `published` is false, true, or the document that runs instead."""
    running = row.published.data["document"] if row.published else None
    published: Any = bool(running) if running in (None, row.document) else running
    return _common_data(row) | {"tags": row.tags, "document": row.document, "published": published}


# --- what differs ---


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Json:
    """Dotted path → `{old, new}`; None stands for absent too. Of a secret that differs: how the values end."""
    found = compare(_comparable(before or {}), _comparable(after or {}))
    return {path: {side: _shown(value) for side, value in change.items()} for path, change in found.items()}


def _comparable(document: Mapping[str, Any]) -> Json:
    """Nodes of a workflow by their ids, so that one that has only moved does not differ."""
    return {
        name: _by_node(value) if isinstance(value, dict) and "nodes" in value else value
        for name, value in document.items()
    }


def _by_node(document: Mapping[str, Any]) -> Json:
    nodes = {node["id"]: node for node in document["nodes"]}
    edges = sorted(
        f"{edge['from']} → {edge['to']} {edge.get('case', '')}".rstrip() for edge in document["edges"]
    )
    return {**document, "nodes": nodes, "edges": edges}


def _shown(value: Any) -> Any:
    return f"(secret …{value.hint})" if isinstance(value, StoredSecret) else value


def shown(kind: str, data: Mapping[str, Any]) -> Json:
    """A version's data for people: as the configuration that could be sent, with its type and name."""
    return {"type": TYPES[kind], "name": data["name"], **with_placeholders(document_of(kind, data))}
