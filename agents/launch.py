"""What starting a run needs to know of its agent, in one query.

Starting runs is the platform's hottest request. The same facts through the ORM cost four queries and most of
the request's time, so this is one written statement.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q

from agentplatform.lib.errors import InvalidConfig, NotFound
from agentplatform.lib.ids import as_uuid
from agents.models import Agent, ChatModel, Kind, Tool, Version


@dataclass(frozen=True, slots=True)
class Launch:
    """An agent as a run is about to use it. `pins` are the current versions of models, tools and servers."""

    agent_id: uuid.UUID | None
    """None: of an agent that is tried before it is saved."""
    name: str
    version_id: uuid.UUID
    model_id: uuid.UUID
    pins: list[uuid.UUID]
    currency: str
    model: str = ""
    inputs: frozenset[str] = frozenset()
    """What the model takes beside text."""


_SELECT = """
SELECT agent.id, agent.name, agent.enabled, agent.version_id, model.id, model.name, model.enabled, model.version_id,
    workspace.currency, model.inputs, summary.name, summary.enabled, summary.version_id,
    ARRAY(
        SELECT other.version_id FROM agents_fallback fallback
        JOIN agents_chatmodel other ON other.id = fallback.fallback_id
        WHERE fallback.model_id = model.id AND other.enabled ORDER BY fallback.position, fallback.id
    ),
    ARRAY(
        SELECT tool.version_id FROM agents_agent_tools link JOIN agents_tool tool ON tool.id = link.tool_id
        WHERE link.agent_id = agent.id
    ),
    ARRAY(
        SELECT DISTINCT server.version_id
        FROM agents_agent_tools link JOIN agents_tool tool ON tool.id = link.tool_id
        JOIN agents_mcpserver server ON server.id = tool.mcp_server_id
        WHERE link.agent_id = agent.id
    ),
    ARRAY(
        SELECT CASE WHEN tool.enabled THEN COALESCE(asked.name, server.name) ELSE tool.name END
        FROM agents_agent_tools link JOIN agents_tool tool ON tool.id = link.tool_id
        LEFT JOIN agents_agent asked ON asked.id = tool.agent_id
        LEFT JOIN agents_mcpserver server ON server.id = tool.mcp_server_id
        WHERE link.agent_id = agent.id
            AND NOT (tool.enabled AND COALESCE(asked.enabled, TRUE) AND COALESCE(server.enabled, TRUE))
    )
FROM agents_agent agent
JOIN agents_chatmodel model ON model.id = agent.model_id
LEFT JOIN agents_chatmodel summary ON summary.id = agent.summary_model_id
JOIN accounts_workspace workspace ON workspace.id = agent.workspace_id
WHERE agent.workspace_id = %s AND {condition}
"""


def prepare(workspace_id: uuid.UUID, identifier: str | None) -> Launch:
    """The agent with this id or name, or the workspace's default one where none is named.

    Raises NotFound, and InvalidConfig where the agent, its model, one of its tools, or an agent or an MCP server that
    one of them asks is disabled.
    """
    condition, value = _condition(identifier)
    with connection.cursor() as cursor:
        cursor.execute(_SELECT.format(condition=condition), [workspace_id, value])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("Agent", identifier or "default")
    agent_id, name, enabled, version_id, model_id, model, model_enabled, model_version, currency, *parts = row
    inputs, summary, summary_enabled, summary_version, fallbacks, tools, servers, disabled = parts
    _require_enabled("agent", name, enabled)
    _require_enabled("model", model, model_enabled)
    if summary:
        _require_enabled("memory.summarize.model", summary, summary_enabled)
    for part in disabled:
        _require_enabled("tools", part, False)
    # It may be one of the others at the same time.
    pins = dict.fromkeys(
        pin for pin in (model_version, *fallbacks, summary_version, *tools, *servers) if pin is not None
    )
    return Launch(agent_id, name, version_id, model_id, list(pins), currency, model, frozenset(inputs))


def pins_on_model(
    pins: Iterable[uuid.UUID], model: ChatModel, agent: Version | None = None
) -> list[uuid.UUID]:
    """A run's pins with another model, and its fallbacks, as they are now in the place of its own.

    The model that writes summaries for the `agent`'s version stays.
    """
    assert model.version_id
    fallbacks = model.fallback_rows.filter(fallback__enabled=True).order_by("position", "id")
    new = {model.pk: model.version_id, **dict(fallbacks.values_list("fallback_id", "fallback__version_id"))}
    writer = as_uuid(agent.data.get("summary_model_id")) if agent else None
    stays = Q(object_id=writer) if writer and writer not in new else Q(pk__in=[])
    others = Version.objects.filter(stays | ~Q(kind=Kind.MODEL), pk__in=list(pins))
    return [*new.values(), *others.values_list("pk", flat=True)]


def require_usable(agent: Agent, model: ChatModel, pins: Iterable[uuid.UUID]) -> None:
    """Raises InvalidConfig where something that a run of earlier versions needs has been disabled since."""
    _require_enabled("agent", agent.name, agent.enabled)
    _require_enabled("model", model.name, model.enabled)
    if writer := agent.summary_model:
        _require_enabled("memory.summarize.model", writer.name, writer.enabled)
    used = Version.objects.filter(pk__in=list(pins), kind=Kind.TOOL).values("object_id")
    for tool in Tool.objects.filter(pk__in=used).select_related("agent", "mcp_server"):
        for part in filter(None, (tool, tool.agent, tool.mcp_server)):
            _require_enabled("tools", part.name, part.enabled)


def _condition(identifier: str | None) -> tuple[str, bool | uuid.UUID | str]:
    if not identifier:
        return "agent.is_default = %s", True
    key = as_uuid(identifier)
    return ("agent.id = %s", key) if key else ("agent.name = %s", identifier)


def _require_enabled(field: str, name: str, enabled: bool) -> None:
    if not enabled:
        raise InvalidConfig({field: f"{name!r} is disabled. Enable it, or use another."})
