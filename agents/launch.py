"""What starting a run needs to know of its agent, in one query.

Starting runs is the platform's hottest request. The same facts through the ORM cost four queries and most of
the request's time, so this is one written statement.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import connection

from agentplatform.lib.errors import InvalidConfig, NotFound
from agentplatform.lib.ids import as_uuid


@dataclass(frozen=True, slots=True)
class Launch:
    """An agent as a run is about to use it. `pins` are the current versions of model, fallbacks and tools."""

    agent_id: uuid.UUID
    name: str
    version_id: uuid.UUID
    model_id: uuid.UUID
    pins: list[uuid.UUID]
    currency: str


_SELECT = """
SELECT agent.id, agent.name, agent.enabled, agent.version_id, model.id, model.name, model.enabled, model.version_id,
    workspace.currency,
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
        SELECT tool.name FROM agents_agent_tools link JOIN agents_tool tool ON tool.id = link.tool_id
        WHERE link.agent_id = agent.id AND NOT tool.enabled
    )
FROM agents_agent agent
JOIN agents_chatmodel model ON model.id = agent.model_id
JOIN accounts_workspace workspace ON workspace.id = agent.workspace_id
WHERE agent.workspace_id = %s AND {condition}
"""


def prepare(workspace_id: uuid.UUID, identifier: str | None) -> Launch:
    """The agent with this id or name, or the workspace's default one where none is named.

    Raises NotFound, and InvalidConfig where the agent, its model or one of its tools is disabled.
    """
    condition, value = _condition(identifier)
    with connection.cursor() as cursor:
        cursor.execute(_SELECT.format(condition=condition), [workspace_id, value])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("Agent", identifier or "default")
    agent_id, name, enabled, version_id, model_id, model, model_enabled, model_version, currency, *parts = row
    fallbacks, tools, disabled_tools = parts
    _require_enabled("agent", name, enabled)
    _require_enabled("model", model, model_enabled)
    for tool in disabled_tools:
        _require_enabled("tools", tool, False)
    return Launch(agent_id, name, version_id, model_id, [model_version, *fallbacks, *tools], currency)


def _condition(identifier: str | None) -> tuple[str, bool | uuid.UUID | str]:
    if not identifier:
        return "agent.is_default = %s", True
    key = as_uuid(identifier)
    return ("agent.id = %s", key) if key else ("agent.name = %s", identifier)


def _require_enabled(field: str, name: str, enabled: bool) -> None:
    if not enabled:
        raise InvalidConfig({field: f"{name!r} is disabled. Enable it, or use another."})
