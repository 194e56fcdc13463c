"""The JSON of a model, a tool or an agent that its versions hold, and the way back from it to the rows.

model  {name, description, enabled, provider, purpose, model, base_url, api_key: {secret, hint} | null, parameters{},
        inputs[],
        fallbacks[names], fallback_ids[]}
tool   {name, description, enabled, kind, function, request{}, secret_headers{header: {secret, hint}},
        arguments_schema{}, timeout_seconds, idempotent, requires_approval, approval_timeout_seconds | null,
        approval_default, agent: name | null, agent_id | null, mcp_server: name | null, mcp_server_id | null,
        mcp_tool, knowledge_base: name | null, knowledge_base_id | null}
agent  {name, description, enabled, model, model_id, system_prompt, tools[names], tool_ids[], memory{},
        knowledge[names], knowledge_ids[], config{}, tags[], summary_model?: name, summary_model_id?}
mcp-server  {name, description, enabled, transport, command, arguments[], environment{}, url, headers{},
        secret_values{name: {secret, hint}}, timeout_seconds}
workflow  {name, description, enabled, tags[], document{input, state, nodes[], edges[]}, source}

Names are for people, ids are what counts: a part that was renamed is still the same part. Which agent is the
workspace's default is not part of a definition, or moving the flag would make versions of two agents. Versions
of an earlier release may lack fields of a tool or a model; these are what a new one has.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any, cast

from agentplatform.lib.errors import InvalidConfig
from agents.models import (
    Agent,
    ChatModel,
    Configuration,
    Fallback,
    Kind,
    KnowledgeBase,
    McpServer,
    Secret,
    Tool,
    Workflow,
)

Definition = dict[str, Any]


def definition(instance: Configuration) -> Definition:
    """What `instance` is now, relations included."""
    common = {"name": instance.name, "description": instance.description, "enabled": instance.enabled}
    return common | _definitions[instance.kind](instance)


def apply(instance: Configuration, data: Definition) -> None:
    """Makes `instance` what `data` says, and saves it. Raises InvalidConfig where a part is gone."""
    instance.name, instance.description, instance.enabled = data["name"], data["description"], data["enabled"]
    _appliers[instance.kind](instance, data)


def _model_definition(model: ChatModel) -> Definition:
    fallbacks = [
        row.fallback for row in model.fallback_rows.select_related("fallback").order_by("position", "id")
    ]
    return {
        "provider": model.provider,
        "purpose": model.purpose,
        "model": model.model,
        "base_url": model.base_url,
        "api_key": reference(model.secret) if model.secret else None,
        "parameters": model.parameters,
        "inputs": model.inputs,
        "fallbacks": [fallback.name for fallback in fallbacks],
        "fallback_ids": [str(fallback.pk) for fallback in fallbacks],
    }


def _tool_definition(tool: Tool) -> Definition:
    return {
        "kind": tool.tool_kind,
        "agent": tool.agent.name if tool.agent else None,
        "agent_id": str(tool.agent_id) if tool.agent_id else None,
        "mcp_server": tool.mcp_server.name if tool.mcp_server else None,
        "mcp_server_id": str(tool.mcp_server_id) if tool.mcp_server_id else None,
        "knowledge_base": tool.knowledge_base.name if tool.knowledge_base else None,
        "knowledge_base_id": str(tool.knowledge_base_id) if tool.knowledge_base_id else None,
    } | {name: getattr(tool, name) for name in TOOL_FIELDS}


def agent_definition(agent: Agent, tools: Iterable[Tool]) -> Definition:
    """What an agent is with these tools, which come in the order of their names, whether or not it is saved."""
    common = {"name": agent.name, "description": agent.description, "enabled": agent.enabled}
    return common | _with_tools(agent, [(tool.pk, tool.name) for tool in tools])


def _agent_definition(agent: Agent) -> Definition:
    return _with_tools(agent, list(agent.tools.order_by("name").values_list("id", "name")))


def _with_tools(agent: Agent, tools: list[tuple[uuid.UUID, str]]) -> Definition:
    data = {
        "model": agent.model.name,
        "model_id": str(agent.model_id),
        "tools": [name for _, name in tools],
        "tool_ids": [str(key) for key, _ in tools],
        "knowledge_ids": _knowledge_ids(agent),
    } | {name: getattr(agent, name) for name in AGENT_FIELDS}
    # Only where there is one: agents that have none keep the hash of their versions.
    if agent.summary_model:
        data |= {"summary_model": agent.summary_model.name, "summary_model_id": str(agent.summary_model_id)}
    return data


def _knowledge_ids(agent: Agent) -> list[str]:
    """In the order of the names. One that has been deleted a moment ago is told of."""
    if not agent.knowledge:
        return []
    rows = KnowledgeBase.objects.filter(workspace_id=agent.workspace_id, name__in=agent.knowledge)
    ids = dict(rows.values_list("name", "id"))
    if gone := [name for name in agent.knowledge if name not in ids]:
        raise InvalidConfig({"knowledge": f"There is no knowledge base {gone[0]!r}."})
    return [str(ids[name]) for name in agent.knowledge]


def _apply_model(model: ChatModel, data: Definition) -> None:
    for name in ("provider", "model", "base_url", "parameters"):
        setattr(model, name, data[name])
    model.inputs = data.get("inputs", [])
    model.purpose = data.get("purpose", ChatModel.Purpose.CHAT)
    model.secret_id = uuid.UUID(data["api_key"]["secret"]) if data["api_key"] else None
    model.save()
    set_fallbacks(model, _parts(ChatModel, model, "fallbacks", data["fallback_ids"], data["fallbacks"]))


def _apply_tool(tool: Tool, data: Definition) -> None:
    tool.tool_kind, new = data["kind"], Tool()
    for name in TOOL_FIELDS:
        setattr(tool, name, data.get(name, getattr(new, name)))
    tool.agent = cast("Agent | None", _part(Agent, tool, "agent", data))
    tool.mcp_server = cast("McpServer | None", _part(McpServer, tool, "mcp_server", data))
    tool.knowledge_base = _base(tool, data)
    tool.save()


def _part(
    model: type[Configuration], owner: Configuration, field: str, data: Definition
) -> Configuration | None:
    if not data.get(f"{field}_id"):
        return None
    [part] = _parts(model, owner, field, [data[f"{field}_id"]], [data[field]])
    return part


def _base(tool: Tool, data: Definition) -> KnowledgeBase | None:
    if not (key := data.get("knowledge_base_id")):
        return None
    found = KnowledgeBase.objects.filter(workspace_id=tool.workspace_id, pk=key).first()
    if found is None:
        raise InvalidConfig({"knowledge_base": _gone(data["knowledge_base"])})
    return found


def _apply_agent(agent: Agent, data: Definition) -> None:
    for name in AGENT_FIELDS:
        setattr(agent, name, data[name])
    agent.knowledge = _names_now(agent, data)
    [model] = _parts(ChatModel, agent, "model", [data["model_id"]], [data["model"]])
    agent.model = cast(ChatModel, model)
    agent.summary_model = cast("ChatModel | None", _part(ChatModel, agent, "summary_model", data))
    agent.save()
    agent.tools.set(cast("list[Tool]", _parts(Tool, agent, "tools", data["tool_ids"], data["tools"])))


def _names_now(agent: Agent, data: Definition) -> list[str]:
    """The present names of the knowledge bases that a version has named."""
    ids = data.get("knowledge_ids", [])
    rows = KnowledgeBase.objects.filter(workspace_id=agent.workspace_id, pk__in=ids)
    names = {str(key): name for key, name in rows.values_list("id", "name")}
    if gone := [name for key, name in zip(ids, data["knowledge"], strict=True) if key not in names]:
        raise InvalidConfig({"knowledge": _gone(", ".join(gone))})
    return [names[key] for key in ids]


def _gone(names: str) -> str:
    return f"{names}: deleted since, so this version cannot be restored as it was."


def _mcp_server_definition(server: McpServer) -> Definition:
    return {name: getattr(server, name) for name in MCP_SERVER_FIELDS}


def _apply_mcp_server(server: McpServer, data: Definition) -> None:
    for name in MCP_SERVER_FIELDS:
        setattr(server, name, data[name])
    server.health = McpServer.Health.UNKNOWN
    server.save()


def _workflow_definition(workflow: Workflow) -> Definition:
    return {name: getattr(workflow, name) for name in WORKFLOW_FIELDS}


def _apply_workflow(workflow: Workflow, data: Definition) -> None:
    for name in WORKFLOW_FIELDS:
        setattr(workflow, name, data[name])
    workflow.references = workflow.needs(workflow.document)
    workflow.save()


def set_fallbacks(model: ChatModel, fallbacks: Iterable[Configuration]) -> None:
    """Makes `fallbacks` the model's, in this order."""
    model.fallback_rows.all().delete()
    rows = [
        Fallback(model=model, fallback_id=fallback.pk, position=place)
        for place, fallback in enumerate(fallbacks)
    ]
    Fallback.objects.bulk_create(rows)


def reference(secret: Secret) -> dict[str, str]:
    """How a secret stands in a definition: by id, with the characters that people recognise it by."""
    return {"secret": str(secret.pk), "hint": secret.hint}


def without_secret_ids(data: Any) -> Any:
    """`data` of a version with `{hint}` in the place of each `{secret, hint}`."""
    if not isinstance(data, dict):
        return data
    if data.keys() == {"secret", "hint"}:
        return {"hint": data["hint"]}
    return {name: without_secret_ids(value) for name, value in data.items()}


def _parts(
    model: type[Configuration], owner: Configuration, field: str, ids: list[str], names: list[str]
) -> list[Configuration]:
    rows = model._default_manager.filter(workspace_id=owner.workspace_id).in_bulk(
        [uuid.UUID(key) for key in ids]
    )
    if gone := [name for key, name in zip(ids, names, strict=True) if uuid.UUID(key) not in rows]:
        raise InvalidConfig({field: _gone(", ".join(gone))})
    return [rows[uuid.UUID(key)] for key in ids]


TOOL_FIELDS = (
    "function",
    "request",
    "secret_headers",
    "arguments_schema",
    "timeout_seconds",
    "idempotent",
    "requires_approval",
    "approval_timeout_seconds",
    "approval_default",
    "mcp_tool",
)
MCP_SERVER_FIELDS = (
    "transport",
    "command",
    "arguments",
    "environment",
    "url",
    "headers",
    "secret_values",
    "timeout_seconds",
)
WORKFLOW_FIELDS = ("tags", "document", "source")
AGENT_FIELDS = ("system_prompt", "memory", "knowledge", "config", "tags")
_definitions: dict[str, Callable[[Any], Definition]] = {
    Kind.MODEL: _model_definition,
    Kind.TOOL: _tool_definition,
    Kind.AGENT: _agent_definition,
    Kind.MCP_SERVER: _mcp_server_definition,
    Kind.WORKFLOW: _workflow_definition,
}
_appliers: dict[str, Callable[[Any, Definition], None]] = {
    Kind.MODEL: _apply_model,
    Kind.TOOL: _apply_tool,
    Kind.AGENT: _apply_agent,
    Kind.MCP_SERVER: _apply_mcp_server,
    Kind.WORKFLOW: _apply_workflow,
}
