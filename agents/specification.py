"""What a run needs to know of an agent, as plain frozen values. `agents.pinned` reads them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.models import Tool

DEFAULT_MAX_STEPS = 25
RULE, MODEL = "rule", "model"
SEARCH_KNOWLEDGE = "search_knowledge"
"""The tool of every agent that has knowledge bases."""


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
    """A model as it stood in one version. `secret` is the id of its key; None: the platform's."""

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
    purpose: str = "chat"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Knowledge bases that a tool searches: ids, as of the agent's or the tool's version; their names go along."""

    workspace_id: uuid.UUID
    bases: tuple[tuple[uuid.UUID, str], ...]


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
    knowledge: Knowledge | None = None
    """Kind `knowledge`: what it searches."""

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
class Summarizing:
    """When what has been said is replaced by a summary, and how many of the last messages stay as they are."""

    keep_messages: int
    trigger_tokens: int | None = None
    trigger_messages: int | None = None
    model: ModelSpecification | None = None
    """Who writes it; None: the agent's model."""


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
    summarize: Summarizing | None = None
    """How its conversations are shortened; None: they are not."""
    long_term: str = ""
    """Whose memories it keeps: `user` shares them with all agents, `agent` does not; empty: it keeps none."""

    @property
    def secret_ids(self) -> frozenset[uuid.UUID]:
        models = [self.model, *self.fallbacks]
        if self.summarize and self.summarize.model:
            models.append(self.summarize.model)
        keys = [model.secret for model in models if model.secret]
        return frozenset(keys).union(*(tool.secret_ids for tool in self.tools))

    @property
    def asks_others(self) -> bool:
        """Whether it waits for runs of other agents."""
        return any(tool.agent for tool in self.tools)

    @property
    def has_knowledge(self) -> bool:
        """Whether it searches knowledge bases, and is to cite what it finds."""
        return any(tool.knowledge for tool in self.tools)

    def tool(self, name: str) -> ToolSpecification | None:
        """The tool of this name; None where the agent has none."""
        return next((tool for tool in self.tools if tool.name == name), None)
