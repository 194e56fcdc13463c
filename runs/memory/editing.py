"""What people do with memories: add, correct and remove them. Who may is settled here."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import PermissionDenied
from agentplatform.lib.ids import uuid7
from agents.models import Agent
from runs.memory import rows
from runs.memory.owners import Owner
from runs.memory.rows import NAMESPACE, Writing
from runs.models import Memory


def create(actor: Actor, value: dict[str, Any], agent: Agent | None = None, end_user: str = "") -> Memory:
    """A memory of the actor's own, for one agent or for all. Raises Invalid, Conflict."""
    actor.require("write:memory")
    owner = Owner(actor.workspace_id, actor.user_id, end_user, agent.pk if agent else None)
    with transaction.atomic():
        [memory] = rows.write(owner, [Writing(NAMESPACE, str(uuid7()), value)])
        audit.created(memory, actor=actor)
    return memory


def change(actor: Actor, memory: Memory, changes: dict[str, Any]) -> Memory:
    """Puts `changes` over what its value says. Raises PermissionDenied for what is somebody else's, and Invalid."""
    actor.require("write:memory")
    if memory.user_id != actor.user_id:
        raise PermissionDenied("Only the person whose memory it is changes it. An admin may delete it.")
    owner = Owner(memory.workspace_id, memory.user_id, memory.end_user, memory.agent_id)
    writing = Writing(tuple(memory.namespace), memory.key, {**memory.value, **changes})
    with transaction.atomic():
        [memory] = rows.write(owner, [writing], memory.run_id)
        told = {"value": audit.HIDDEN}
        audit.record(Action.UPDATED, audit.thing(memory), actor=actor, before=told, after=told)
    return memory


def delete(actor: Actor, memory: Memory) -> None:
    """Raises PermissionDenied for what is somebody else's, unless the actor may delete everybody's."""
    actor.require("delete:memory")
    if memory.user_id != actor.user_id:
        actor.require("delete:all-memories")
    with transaction.atomic():
        audit.record(Action.DELETED, audit.thing(memory), actor=actor)
        memory.delete()


def clear(actor: Actor, end_user: str | None = None) -> int:
    """Deletes all of the actor's own, or those of one of their end users; how many there were."""
    actor.require("delete:memory")
    own = Memory.objects.filter(workspace_id=actor.workspace_id, user_id=actor.user_id)
    if end_user is not None:
        own = own.filter(end_user=end_user)
    with transaction.atomic():
        count = own.delete()[0]
        audit.record(Action.DELETED, audit.Thing("Memory"), actor=actor, before={"memories": count})
    return count
