"""Which agents there are: this room does not know them, so the room that does says so.

Whoever knows agents registers a `Finder` and a `Namer` when Django starts; the ids of users and keys are known here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

Finder = Callable[[uuid.UUID, uuid.UUID], bool]
"""Whether a workspace has an agent: its id, and the agent's."""
Named = list[tuple[uuid.UUID, str]]
Namer = Callable[[Iterable[uuid.UUID]], Named]
"""The agents of workspaces, by the ids of those: ids with names, in the order of these."""


def _nobody_knows(*args: object) -> bool:
    raise RuntimeError("Nobody knows agents: register who does with targets.find_agents_with(finder, namer).")


_finder: Finder = _nobody_knows
_namer: Namer = _nobody_knows  # type: ignore[assignment]


def find_agents_with(finder: Finder, namer: Namer) -> None:
    global _finder, _namer
    _finder, _namer = finder, namer


def has_agent(workspace_id: uuid.UUID, agent_id: uuid.UUID) -> bool:
    return _finder(workspace_id, agent_id)


def agents_of(workspace_ids: Iterable[uuid.UUID]) -> Named:
    return _namer(workspace_ids)
