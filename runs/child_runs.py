"""The runs that tools of kind `agent` start: made of the run that asks, for the same person and account."""

from __future__ import annotations

import uuid

from agentplatform.lib.errors import Conflict
from agentplatform.lib.text import storable
from agents.launch import prepare
from runs import lifecycle
from runs.models import Relation, Run

# Agents that ask each other in a circle would never come to an end.
DEEPEST = 8


def start(parent: Run, attempt: int, agent_id: uuid.UUID, message: str, child_id: uuid.UUID) -> bool:
    """Starts the run `child_id`, unless an earlier attempt has. False where the parent may start nothing any more.

    Raises NotFound, InvalidConfig (the agent, or something that it needs, is disabled) and Conflict (nested too deep).
    """
    if Run.objects.filter(pk=child_id).exists():
        return True
    if parent.depth >= DEEPEST:
        raise Conflict(f"Agents ask agents {DEEPEST} levels deep already; this one is not asked.")
    launch = prepare(parent.workspace_id, str(agent_id))
    text = storable(message)
    run = Run(
        id=child_id,
        workspace_id=parent.workspace_id,
        parent_id=parent.id,
        relation=Relation.CHILD,
        depth=parent.depth + 1,
        agent_id=launch.agent_id,
        model_id=launch.model_id,
        agent_name=launch.name,
        agent_version_id=launch.version_id,
        pins=launch.pins,
        user_id=parent.user_id,
        username=parent.username,
        end_user=parent.end_user,
        api_key_id=parent.api_key_id,
        api_key_name=parent.api_key_name,
        input={"messages": [{"role": "user", "content": text}]},
        input_query=text,
        tags=parent.tags,
        queue=parent.queue,
        priority=parent.priority,
        currency=launch.currency,
    )
    return lifecycle.start_child(parent.id, attempt, run) is not None


def head(run_id: uuid.UUID) -> Run:
    """As much of a child as its parent goes by."""
    fields = ("id", "status", "last_seq", "agent_name", "response_content", "error")
    return Run.objects.only(*fields).get(pk=run_id)
