"""Which agents there are: this room does not know them, so the room that does says so.

Whoever knows agents registers a `Finder` when Django starts; the ids of users and keys are known here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

Finder = Callable[[uuid.UUID, uuid.UUID], bool]
"""Whether a workspace has an agent: its id, and the agent's."""


def _nobody_knows(workspace_id: uuid.UUID, agent_id: uuid.UUID) -> bool:
    raise RuntimeError("Nobody knows agents: register a finder with targets.find_agents_with(finder).")


_finder: Finder = _nobody_knows


def find_agents_with(finder: Finder) -> None:
    global _finder
    _finder = finder


def has_agent(workspace_id: uuid.UUID, agent_id: uuid.UUID) -> bool:
    return _finder(workspace_id, agent_id)
