"""Whose a memory is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from runs.models import Run

OF_AGENT = "agent"
"""The scope of agents that share nothing with others."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A user in a workspace, or one of the client's own users under it. Two of them never see each other's memories.

    `agent_id` None: what all agents of the workspace share; otherwise what is that agent's alone.
    """

    workspace_id: uuid.UUID
    user_id: uuid.UUID
    end_user: str = ""
    agent_id: uuid.UUID | None = None


def owner_of(run: Run, scope: str) -> Owner | None:
    """Whose memories a run reads and writes: those of who has started it. `scope` is the agent's.

    None where the account is gone, and with it all that was remembered.
    """
    if run.user_id is None:
        return None
    agent_id = run.agent_id if scope == OF_AGENT else None
    return Owner(run.workspace_id, run.user_id, run.end_user, agent_id)
