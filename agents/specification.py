"""What a run needs to know of an agent, as plain frozen values read from immutable versions.

A run stores the id of its agent's version and its pins (the ids of the versions of model, fallbacks, tools and
their MCP servers). `load` reads them all in one query; whatever is edited afterwards, the same ids give the same
result.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from agentplatform.lib.errors import InvalidConfig
from agents.models import Kind, Secret, Tool, Version
from agents.tools import functions

DEFAULT_MAX_STEPS = 25
RULE, MODEL = "rule", "model"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Limits of a run. None leaves the choice to the model's parameters or the provider."""

    max_steps: int = DEFAULT_MAX_STEPS
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float = 30.0
    """Seconds that one model call may take."""
    retries: int = 3
    """Further attempts of one model call after a fault that may pass."""
    cache_ttl: int = 0
    """Seconds for which an answer may be given again to the same question; 0: never."""
    naming: str = RULE
    """Who names conversations: `rule`, after the first message, or the `model`, after the first answer."""

    @property
    def model_parameters(self) -> dict[str, Any]:
        """What goes over the model's own parameters."""
        chosen = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ModelSpecification:
    """A chat model as it stood in one version. `secret` is the id of its key; None: the platform's."""

    version_id: uuid.UUID
    id: uuid.UUID
    name: str
    provider: str
    model: str
    base_url: str = ""
    secret: uuid.UUID | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    timeout: float = 30.0
    inputs: tuple[str, ...] = ()
    """What it takes beside text: `image`, `file`."""


@dataclass(frozen=True, slots=True)
class McpServerSpecification:
    """An MCP server as it stood in one version. `secrets` are headers (http) or variables (stdio) by name."""

    version_id: uuid.UUID
    id: uuid.UUID
    name: str
    transport: str
    command: str = ""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, uuid.UUID] = field(default_factory=dict, hash=False)
    timeout_seconds: float = 30.0
    """For opening a session."""


@dataclass(frozen=True, slots=True)
class ToolSpecification:
    """A tool as it stood in one version. What a function's tool leaves empty is the function's own."""

    version_id: uuid.UUID
    id: uuid.UUID
    name: str
    description: str
    kind: str
    function: str = ""
    request: Mapping[str, Any] = field(default_factory=dict, hash=False)
    secret_headers: Mapping[str, uuid.UUID] = field(default_factory=dict, hash=False)
    arguments_schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    timeout_seconds: float = 30.0
    idempotent: bool = False
    requires_approval: bool = False
    approval_timeout_seconds: int | None = None
    """How long a call waits for a person; None: for ever."""
    approval_default: str = Tool.ApprovalDefault.REJECT
    """What happens to a call for which nobody has decided by then."""
    agent: uuid.UUID | None = None
    """Kind `agent`: the id of the agent that the tool asks."""
    mcp_server: McpServerSpecification | None = None
    """Kind `mcp`: whose tool it is."""
    mcp_tool: str = ""
    """Kind `mcp`: its name there."""

    @property
    def secret_ids(self) -> frozenset[uuid.UUID]:
        server = self.mcp_server.secrets.values() if self.mcp_server else ()
        return frozenset([*self.secret_headers.values(), *server])


@dataclass(frozen=True, slots=True)
class Bindings:
    """What the caller of a run has bound to its model, beside what the agent has.

    `tools` are functions of the caller's, `{"type": "function", "function": {"name", "description"?, "parameters"?}}`.
    A call of one ends the run, as its answer.
    """

    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    tool_choice: str = ""
    """`any`, or the name of the one to call; empty leaves it to the model."""
    one_call: bool = False
    """Whether the answer holds one call at most."""


@dataclass(frozen=True, slots=True)
class AgentSpecification:
    """An agent with everything that it is built of."""

    version_id: uuid.UUID
    id: uuid.UUID
    workspace_id: uuid.UUID
    name: str
    system_prompt: str
    config: AgentConfig
    memory_window: int | None
    """How many of the last messages the model is shown; None: all."""
    model: ModelSpecification
    fallbacks: tuple[ModelSpecification, ...] = ()
    tools: tuple[ToolSpecification, ...] = ()
    bindings: Bindings = field(default_factory=Bindings)

    @property
    def secret_ids(self) -> frozenset[uuid.UUID]:
        keys = [model.secret for model in (self.model, *self.fallbacks) if model.secret]
        return frozenset(keys).union(*(tool.secret_ids for tool in self.tools))

    @property
    def asks_others(self) -> bool:
        """Whether it waits for runs of other agents."""
        return any(tool.agent for tool in self.tools)

    def tool(self, name: str) -> ToolSpecification | None:
        """The tool of this name; None where the agent has none."""
        return next((tool for tool in self.tools if tool.name == name), None)


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
    return AgentSpecification(
        version_id=version.pk,
        id=version.object_id,
        workspace_id=version.workspace_id,
        name=data["name"],
        system_prompt=data["system_prompt"],
        config=limits,
        memory_window=data["memory"].get("window"),
        model=parse_model(model, limits, chosen),
        fallbacks=tuple(parse_model(fallback, limits, chosen) for fallback in fallbacks if fallback),
        tools=tuple(parse_tool(tool, _server_of(tool, by_object)) for tool in tools),
        bindings=parse_bindings(bound),
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
    )


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
        idempotent=data["idempotent"] or (own is not None and own.idempotent),
        requires_approval=data["requires_approval"],
        approval_timeout_seconds=data.get("approval_timeout_seconds"),
        approval_default=data.get("approval_default", Tool.ApprovalDefault.REJECT),
        agent=uuid.UUID(agent_id) if agent_id else None,
        mcp_server=parse_mcp_server(server) if server else None,
        mcp_tool=data.get("mcp_tool", ""),
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
