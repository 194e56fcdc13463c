"""Specifications read from immutable versions.

A run stores the id of its agent's version and its pins (the ids of the versions of model, fallbacks, tools and
their MCP servers). `load` reads them all in one query; whatever is edited afterwards, the same ids give the same
result.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings

from agentplatform.lib.errors import InvalidConfig
from agents.models import Kind, Secret, Tool, Version
from agents.specification import (
    DEFAULT_MAX_STEPS,
    RULE,
    SEARCH_KNOWLEDGE,
    AgentConfig,
    AgentSpecification,
    Bindings,
    Knowledge,
    McpServerSpecification,
    ModelSpecification,
    Summarizing,
    ToolSpecification,
)
from agents.tools import functions


def load(
    agent_version_id: uuid.UUID,
    pins: Iterable[uuid.UUID | str],
    config: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> AgentSpecification:
    """The specification of a run, in one query. `config` is the run's own and goes over the agent's.

    So do `overrides`, `{"system_prompt"?, "model"?, "model_id"?}`; the pins then have a version of that model. Their
    `bindings`, `{"tools"?, "tool_choice"?, "one_call"?, "parameters"?}`, come beside what the agent has; `parameters`
    go over those of its models.
    Raises InvalidConfig where a pinned version is missing.
    """
    versions = Version.objects.in_bulk([agent_version_id, *(uuid.UUID(str(pin)) for pin in pins)])
    agent = versions.pop(agent_version_id, None)
    if agent is None:
        raise InvalidConfig(f"The agent's version {agent_version_id} does not exist any more.")
    return parse_agent(agent, versions.values(), config, overrides)


def secret_values(workspace_id: uuid.UUID, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The plain values of a workspace's secrets by id; no query where there are none."""
    if not (wanted := list(ids)):
        return {}
    return dict(Secret.objects.filter(workspace_id=workspace_id, pk__in=wanted).values_list("id", "value"))


def parse_agent(
    version: Version,
    parts: Iterable[Version],
    config: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> AgentSpecification:
    """An agent's version with the versions of its parts. A fallback that is not among them is left out."""
    data = {**version.data, **(overrides or {})}
    by_object = {(part.kind, str(part.object_id)): part for part in parts}
    limits = parse_config({**data["config"], **(config or {})})
    bound = data.get("bindings", {})
    chosen = bound.get("parameters")
    model = _part(by_object, Kind.MODEL, data["model_id"], data["model"])
    fallbacks = [by_object.get((Kind.MODEL, key)) for key in model.data["fallback_ids"]]
    tools = [
        _part(by_object, Kind.TOOL, key, name)
        for key, name in zip(data["tool_ids"], data["tools"], strict=True)
    ]
    memory = data["memory"]
    return AgentSpecification(
        version_id=version.pk,
        id=version.object_id,
        workspace_id=version.workspace_id,
        name=data["name"],
        system_prompt=data["system_prompt"],
        config=limits,
        memory_window=memory.get("window"),
        model=parse_model(model, limits, chosen),
        fallbacks=tuple(parse_model(fallback, limits, chosen) for fallback in fallbacks if fallback),
        tools=(
            *(parse_tool(tool, _server_of(tool, by_object)) for tool in tools),
            *_knowledge_tools(version),
        ),
        bindings=parse_bindings(bound),
        summarize=_summarizing(data, by_object, limits),
        long_term=memory.get("long_term", {}).get("scope", ""),
    )


def _summarizing(
    data: Mapping[str, Any], by_object: Mapping[tuple[str, str], Version], limits: AgentConfig
) -> Summarizing | None:
    if not (policy := data["memory"].get("summarize")):
        return None
    key = data.get("summary_model_id")
    writer = _part(by_object, Kind.MODEL, key, data["summary_model"]) if key else None
    # The agent's limits of an answer are not the summary's.
    own = replace(limits, temperature=None, max_tokens=None)
    return Summarizing(
        keep_messages=policy["keep_messages"],
        trigger_tokens=policy.get("trigger_tokens"),
        trigger_messages=policy.get("trigger_messages"),
        model=parse_model(writer, own) if writer else None,
    )


def parse_config(data: Mapping[str, Any]) -> AgentConfig:
    return AgentConfig(
        max_steps=data.get("max_steps") or DEFAULT_MAX_STEPS,
        temperature=data.get("temperature"),
        max_tokens=data.get("max_tokens"),
        timeout=data.get("timeout") or settings.AGENT_TIMEOUT_SECONDS,
        retries=settings.AGENT_MAX_RETRIES if data.get("retries") is None else data["retries"],
        cache_ttl=min(data.get("cache_ttl") or 0, settings.AGENT_CACHE_TTL)
        if settings.AGENT_ENABLE_CACHE
        else 0,
        naming=data.get("naming") or RULE,
    )


def parse_bindings(data: Mapping[str, Any]) -> Bindings:
    return Bindings(
        tools=tuple(data.get("tools", ())),
        tool_choice=data.get("tool_choice", ""),
        one_call=data.get("one_call", False),
    )


def parse_model(
    version: Version, limits: AgentConfig, chosen: Mapping[str, Any] | None = None
) -> ModelSpecification:
    """A model's version, with what the agent's limits say, and what a run has `chosen`, over its own parameters.

    Versions of an earlier release do not know `inputs`: those models take text.
    """
    data = version.data
    return ModelSpecification(
        version_id=version.pk,
        id=version.object_id,
        name=data["name"],
        provider=data["provider"],
        model=data["model"],
        base_url=data["base_url"],
        secret=uuid.UUID(data["api_key"]["secret"]) if data["api_key"] else None,
        parameters={**data["parameters"], **limits.model_parameters, **(chosen or {})},
        timeout=limits.timeout,
        inputs=tuple(data.get("inputs", ())),
        purpose=data.get("purpose", "chat"),
    )


def _knowledge_tools(version: Version) -> list[ToolSpecification]:
    """The tool that searches an agent's knowledge bases; none without any."""
    ids = version.data.get("knowledge_ids", [])
    if not ids:
        return []
    names = version.data["knowledge"]
    bases = tuple((uuid.UUID(key), name) for key, name in zip(ids, names, strict=True))
    return [
        ToolSpecification(
            version_id=version.pk,
            id=version.object_id,
            name=SEARCH_KNOWLEDGE,
            description=f"Searches the knowledge of this agent: {', '.join(names)}.",
            kind=Tool.ToolKind.KNOWLEDGE,
            idempotent=True,
            knowledge=Knowledge(version.workspace_id, bases),
        )
    ]


def parse_tool(version: Version, server: Version | None = None) -> ToolSpecification:
    """A tool's version, with that of its MCP server where it has one.

    What versions of an earlier release do not know takes the default.
    """
    data = version.data
    agent_id = data.get("agent_id")
    own = functions.registry.get(data["function"]) if data["kind"] == Tool.ToolKind.FUNCTION else None
    return ToolSpecification(
        version_id=version.pk,
        id=version.object_id,
        name=data["name"],
        description=data["description"] or (own.description if own else ""),
        kind=data["kind"],
        function=data["function"],
        request=data["request"],
        secret_headers={name: uuid.UUID(entry["secret"]) for name, entry in data["secret_headers"].items()},
        arguments_schema=data["arguments_schema"] or (own.schema if own else {}),
        timeout_seconds=data["timeout_seconds"],
        idempotent=data["idempotent"]
        or (own is not None and own.idempotent)
        or data["kind"] == Tool.ToolKind.KNOWLEDGE,
        requires_approval=data["requires_approval"],
        approval_timeout_seconds=data.get("approval_timeout_seconds"),
        approval_default=data.get("approval_default", Tool.ApprovalDefault.REJECT),
        agent=uuid.UUID(agent_id) if agent_id else None,
        mcp_server=parse_mcp_server(server) if server else None,
        mcp_tool=data.get("mcp_tool", ""),
        knowledge=Knowledge(
            version.workspace_id, ((uuid.UUID(data["knowledge_base_id"]), data["knowledge_base"]),)
        )
        if data.get("knowledge_base_id")
        else None,
    )


def parse_mcp_server(version: Version) -> McpServerSpecification:
    data = version.data
    return McpServerSpecification(
        version_id=version.pk,
        id=version.object_id,
        name=data["name"],
        transport=data["transport"],
        command=data["command"],
        arguments=tuple(data["arguments"]),
        environment=data["environment"],
        url=data["url"],
        headers=data["headers"],
        secrets={name: uuid.UUID(entry["secret"]) for name, entry in data["secret_values"].items()},
        timeout_seconds=data["timeout_seconds"],
    )


def _server_of(tool: Version, parts: Mapping[tuple[str, str], Version]) -> Version | None:
    """The version of the server whose tool it is; None: it is no server's."""
    if not (key := tool.data.get("mcp_server_id")):
        return None
    return _part(parts, Kind.MCP_SERVER, key, tool.data["mcp_server"])


def _part(parts: Mapping[tuple[str, str], Version], kind: Kind, object_id: str, name: str) -> Version:
    if found := parts.get((kind.value, object_id)):
        return found
    raise InvalidConfig(f"The {kind.value} {name!r} is not among the versions that this run is pinned to.")
