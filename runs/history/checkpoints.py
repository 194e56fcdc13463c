"""The states that a run has gone through, as people see them: found, kept, read and compared.

What begins at one, a fork or a restored run, is in `branches`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict
from agentplatform.lib.text import storable
from agents import versions
from agents.snapshots import without_secret_ids
from agents.workflows import state as workflow_state
from runs.control import controllable
from runs.history import threads
from runs.models import Checkpoint, CheckpointQuerySet, Run, Status

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """A checkpoint with what stands in it: an agent's messages, or the fields of a workflow's state.

    `agent_config` is the agent, or the workflow, as the run used it, without secrets.
    """

    checkpoint: Checkpoint
    messages: list[Json]
    agent_config: Json
    parent_id: uuid.UUID | None
    fields: Json | None = None
    """None of an agent."""
    has_output: bool = False
    output: Any = None
    """What a workflow has come to, once it has."""

    @property
    def is_final(self) -> bool:
        """Whether the model has given its answer, or the workflow has come to its end: nothing is left to do."""
        if self.fields is not None:
            return self.has_output
        last: Json = self.messages[-1] if self.messages else {}
        return last.get("role") == "assistant" and "tool_calls" not in last

    @property
    def status(self) -> Status:
        """Of a run that stands here: `completed`, or `running` while there is something left to do."""
        return Status.COMPLETED if self.is_final else Status.RUNNING

    @property
    def metrics(self) -> Json:
        """What the run had used by then."""
        return {"total_tokens": self.checkpoint.total_tokens, "total_steps": self.checkpoint.step_num}


def of_run(run_id: uuid.UUID) -> CheckpointQuerySet:
    """The run's checkpoints, the newest first, without what stands in them."""
    found = Checkpoint.objects.of_people().filter(run_id=run_id).order_by("-checkpoint_id")
    return found.defer("checkpoint", "metadata")


def find(actor: Actor, checkpoint_id: object) -> Checkpoint:
    """The checkpoint of a run that the actor may read, its run loaded with it. Raises NotFound, PermissionDenied."""
    actor.require("read:run")
    rows = Checkpoint.objects.of_people().select_related("run__agent_version", "run__workflow_version")
    return rows.named(actor, checkpoint_id)


def keep(actor: Actor, run_id: uuid.UUID, description: str = "", tags: Sequence[str] = ()) -> Checkpoint:
    """A copy of where a run stands now, which stays. Raises NotFound, PermissionDenied, Conflict before the first."""
    run = controllable(actor, run_id)
    with transaction.atomic():
        head = threads.head_of(run.pk)
        if head is None:
            message = "The run has no checkpoint yet; it has its first one when a worker has begun it."
            raise Conflict(message, details={"status": run.status})
        kept = {"description": storable(description), "tags": storable(list(tags))}
        copy = threads.copy_within(head, timezone.now(), manual=True, **kept)
        what = audit.Thing("Checkpoint", copy.pk, workspace_id=run.workspace_id)
        audit.record(Action.CREATED, what, actor=actor, after={"run_id": run.pk})
        return copy


def read(checkpoint: Checkpoint) -> State:
    """What stands in a checkpoint that `find` has found."""
    # Imported here because it brings LangChain along, which no other request needs.
    from runs.engine.states import channels_in, messages_in

    assert checkpoint.run
    run, parent = checkpoint.run, _parent_of(checkpoint)
    if run.is_workflow:
        return _workflow_state(checkpoint, agent_config(run), parent, channels_in(checkpoint))
    return State(checkpoint, messages_in(checkpoint), agent_config(run), parent)


def _workflow_state(
    checkpoint: Checkpoint, config: Json, parent: uuid.UUID | None, channels: Mapping[str, Any]
) -> State:
    """Fields by their plain names. One may be called `output`, too, so what the workflow has come to stands apart."""
    fields = {
        name.removeprefix(workflow_state.FIELD): value
        for name, value in channels.items()
        if name.startswith(workflow_state.FIELD)
    }
    has_output = workflow_state.OUTPUT in channels
    return State(checkpoint, [], config, parent, fields, has_output, channels.get(workflow_state.OUTPUT))


def agent_config(run: Run) -> Json:
    """The agent's version as the run uses it: with the run's own config and overrides over it; a workflow's version.

    Needs it loaded.
    """
    if run.workflow_version:
        definition: Json = without_secret_ids(run.workflow_version.data)
        return {**definition, "config": run.config}
    if run.agent_version is None:
        return {}
    data: Json = without_secret_ids(run.agent_version.data)
    return {**data, **run.overrides, "config": {**data["config"], **run.config}}


def _parent_of(checkpoint: Checkpoint) -> uuid.UUID | None:
    """What it came from in its run, as far as people see that, and it is still kept."""
    rows = Checkpoint.objects.of_people().automatic().filter(run=checkpoint.run)
    parents = rows.filter(thread_id=checkpoint.thread_id, checkpoint_id=checkpoint.parent_checkpoint_id)
    return parents.values_list("pk", flat=True).first()


def compare(before: State, after: State) -> Json:
    """What differs: messages by their place, everything else as `{path: {"old", "new"}}`.

    `{"messages": {"common": how many begin both, "removed": […], "added": […]}, "state", "metrics", "agent_config"}`
    """
    common = _common(before.messages, after.messages)
    return {
        "messages": {
            "common": common,
            "removed": before.messages[common:],
            "added": after.messages[common:],
        },
        "state": versions.compare(before.fields or {}, after.fields or {}),
        "metrics": versions.compare(before.metrics, after.metrics),
        "agent_config": versions.compare(before.agent_config, after.agent_config),
    }


def _common(before: Sequence[Json], after: Sequence[Json]) -> int:
    """How many messages are the same from the start."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(before), len(after)))
