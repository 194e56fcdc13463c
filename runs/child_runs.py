"""The runs that other runs start: an agent that a tool or a node asks, a workflow that a node calls.

They are made of the run that asks, for the same person and account.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from agentplatform.lib.errors import Conflict
from agentplatform.lib.text import storable
from agents.launch import prepare
from agents.workflows.launch import prepare_workflow
from runs import lifecycle
from runs.models import Relation, Run
from runs.workflow_input import checked_input, query_of

# What asks each other in a circle would never come to an end.
DEEPEST = 8


def start_agent(
    parent: Run, attempt: int, identifier: str, arguments: Mapping[str, Any], child_id: uuid.UUID
) -> bool:
    """Starts the run `child_id` of an agent, unless an earlier attempt has; `arguments` are `{"message"}`.

    False where the parent may start nothing any more. Raises NotFound, InvalidConfig (the agent, or something that it
    needs, is disabled) and Conflict (nested too deep).
    """
    if Run.objects.filter(pk=child_id).exists():
        return True
    launch = prepare(parent.workspace_id, identifier)
    text = storable(arguments["message"])
    run = _child(
        parent,
        child_id,
        agent_id=launch.agent_id,
        model_id=launch.model_id,
        agent_name=launch.name,
        agent_version_id=launch.version_id,
        workflow_name=parent.workflow_name,
        pins=launch.pins,
        input={"messages": [{"role": "user", "content": text}]},
        input_query=text,
        currency=launch.currency,
    )
    return lifecycle.start_child(parent.id, attempt, run) is not None


def start_workflow(
    parent: Run, attempt: int, identifier: str, arguments: Mapping[str, Any], child_id: uuid.UUID
) -> bool:
    """The same of a workflow's published version, with `arguments` as its input."""
    if Run.objects.filter(pk=child_id).exists():
        return True
    launch = prepare_workflow(parent.workspace_id, identifier)
    values = checked_input(launch, arguments)
    run = _child(
        parent,
        child_id,
        workflow_id=launch.workflow_id,
        workflow_name=launch.name,
        workflow_version_id=launch.version_id,
        pins=launch.pins,
        input={"values": values},
        input_query=query_of(values),
        currency=launch.currency,
    )
    return lifecycle.start_child(parent.id, attempt, run) is not None


def _child(parent: Run, child_id: uuid.UUID, **own: Any) -> Run:
    if parent.depth >= DEEPEST:
        raise Conflict(f"Runs are nested {DEEPEST} levels deep already; another is not started.")
    return Run(
        id=child_id,
        workspace_id=parent.workspace_id,
        parent_id=parent.id,
        relation=Relation.CHILD,
        depth=parent.depth + 1,
        user_id=parent.user_id,
        username=parent.username,
        end_user=parent.end_user,
        api_key_id=parent.api_key_id,
        api_key_name=parent.api_key_name,
        tags=parent.tags,
        queue=parent.queue,
        priority=parent.priority,
        **own,
    )


def head(run_id: uuid.UUID) -> Run:
    """As much of a child as its parent goes by."""
    fields = (
        "id",
        "status",
        "last_seq",
        "agent_name",
        "workflow_name",
        "workflow_version_id",
        "response_content",
        "output",
        "error",
    )
    return Run.objects.only(*fields).get(pk=run_id)
