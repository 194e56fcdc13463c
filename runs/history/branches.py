"""What begins at a checkpoint: a fork with changes, a restored run, or the run itself, set back.

A new run never touches the one that it comes from: it has a copy of the history up to the checkpoint in a thread of
its own, and goes on with the versions that its source used, whatever has been edited since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Invalid, InvalidConfig, NotFound
from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from agents.launch import pins_on_model, require_usable
from agents.models import ChatModel
from agents.workflows.document import Document, parse
from agents.workflows.launch import require_workflow_usable
from agents.workflows.structure import number_fault, value_fault
from runs import lifecycle
from runs.commands import Started, beginning, last_query, named
from runs.control import controllable
from runs.events import StoredEvent
from runs.history import checkpoints, threads
from runs.models import Checkpoint, Relation, Run

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Modifications:
    """What a new run does otherwise; None and empty: as its source. Either `modified_query` or `messages`."""

    modified_query: str = ""
    """Stands in the place of the last user's message; what came after that is dropped."""
    messages: Sequence[Json] | None = None
    """In the place of all that are in the state, in the shapes in which states show them."""
    system_prompt: str | None = None
    model: ChatModel | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] | None = None
    """Of a workflow: fields that take the place of those in the state."""

    @property
    def input(self) -> Json | None:
        """What the run begins with, if it does not go on as it is."""
        if self.messages is not None:
            return {"messages": storable(list(self.messages)), "replaces": "all"}
        if self.modified_query:
            query = {"role": "user", "content": storable(self.modified_query)}
            return {"messages": [query], "replaces": "last_query"}
        return None

    @property
    def overrides(self) -> Json:
        """What goes over the agent's version."""
        changed: Json = {}
        if self.system_prompt is not None:
            changed["system_prompt"] = storable(self.system_prompt)
        if self.model is not None:
            changed |= {"model": self.model.name, "model_id": str(self.model.pk)}
        return changed


UNCHANGED = Modifications()


def fork(
    actor: Actor, checkpoint_id: object, description: str = "", modifications: Modifications = UNCHANGED
) -> Started:
    """A new run that goes on from a checkpoint otherwise.

    Raises PermissionDenied, NotFound (checkpoint, agent), InvalidConfig (something that it needs is disabled), and
    Invalid where nothing would be left to do.
    """
    checkpoint = checkpoints.find(actor, checkpoint_id)
    _require_permission(actor, checkpoint)
    _require_something_to_do(checkpoint, modifications)
    return _branch(actor, checkpoint, Relation.FORK, description, modifications)


def restore(actor: Actor, checkpoint_id: object, modifications: Modifications = UNCHANGED) -> Started:
    """A new run that goes on from a checkpoint as its source did. Raises as `fork`; one that had ended ends again."""
    checkpoint = checkpoints.find(actor, checkpoint_id)
    _require_permission(actor, checkpoint)
    return _branch(actor, checkpoint, Relation.RESTORE, "", modifications)


def _require_permission(actor: Actor, checkpoint: Checkpoint) -> None:
    assert checkpoint.run
    actor.require("execute:workflow" if checkpoint.run.is_workflow else "execute:agent")


def restore_in_place(actor: Actor, checkpoint_id: object) -> list[StoredEvent]:
    """Sets the run itself back. Raises PermissionDenied, NotFound, and Conflict unless it is paused or waits."""
    checkpoint = checkpoints.find(actor, checkpoint_id)
    assert checkpoint.run_id
    run = controllable(actor, checkpoint.run_id)
    with transaction.atomic():
        events = lifecycle.rewind(checkpoint.run_id, checkpoint)
        audit.record(Action.RESTORED, named(run), actor=actor, after={"checkpoint_id": checkpoint.pk})
    return events


def _require_something_to_do(checkpoint: Checkpoint, modifications: Modifications) -> None:
    if modifications.messages is not None:
        return
    state = checkpoints.read(checkpoint)
    if state.fields is not None:
        if state.is_final:
            message = (
                "The workflow has come to its end here, so nothing is left to do. Fork an earlier checkpoint."
            )
            raise Invalid({"modifications": message})
        return
    if modifications.modified_query:
        if not any(message["role"] == "user" for message in state.messages):
            message = "The state has no message of a user that it could replace. Send messages instead."
            raise Invalid({"modifications.modified_query": message})
    elif state.is_final:
        message = "The run has its answer here, so nothing is left to do. Send modified_query or messages."
        raise Invalid({"modifications": message})


def _branch(
    actor: Actor, checkpoint: Checkpoint, relation: Relation, description: str, modifications: Modifications
) -> Started:
    with transaction.atomic():
        source = _locked_source(checkpoint)
        executed = _workflow(source, modifications) if source.is_workflow else _agent(source, modifications)
        run = _new_run(actor, source, modifications, executed)
        run.relation, run.parent_id, run.source_checkpoint_id = relation, source.pk, checkpoint.pk
        run.description, run.total_steps = storable(description), checkpoint.step_num
        events = lifecycle.start(run, told=[beginning(run, actor)])
        threads.copy_history(checkpoint, run)
    return Started(run, events)


def _locked_source(checkpoint: Checkpoint) -> Run:
    """The checkpoint's run. Whoever prunes its history takes this lock too."""
    runs = Run.objects.select_for_update(of=("self",), no_key=True)
    source = runs.select_related("agent", "model", "workflow", "workflow_version").get(pk=checkpoint.run_id)
    if not Checkpoint.objects.filter(pk=checkpoint.pk).exists():
        raise NotFound("Checkpoint", checkpoint.pk)
    return source


def _new_run(actor: Actor, source: Run, modifications: Modifications, executed: Mapping[str, Any]) -> Run:
    """What the source was asked for, with the modifications, in the name of the actor. It is in no session."""
    return Run(
        id=uuid7(),
        workspace_id=source.workspace_id,
        workflow_name=source.workflow_name,
        user_id=actor.user_id,
        username=actor.username,
        end_user=source.end_user,
        api_key_id=actor.api_key_id,
        api_key_name=actor.api_key_name,
        config={**source.config, **modifications.config},
        limits=source.limits,
        metadata=source.metadata,
        tags=source.tags,
        queue=source.queue,
        priority=source.priority,
        currency=source.currency,
        **executed,
    )


def _agent(source: Run, modifications: Modifications) -> Json:
    if modifications.state is not None:
        raise Invalid(
            {"modifications.state": "Only workflows have a state to change; an agent has messages."}
        )
    model, pins = _model_and_pins(source, modifications.model)
    changed = modifications.input
    return {
        "agent_id": source.agent_id,
        "model_id": model.pk,
        "agent_name": source.agent_name,
        "agent_version_id": source.agent_version_id,
        "pins": pins,
        # A source that was forked itself has replaced its messages already.
        "input": changed or {"messages": source.input["messages"]},
        "input_query": last_query(changed["messages"]) if changed else source.input_query,
        "overrides": {**source.overrides, **modifications.overrides},
    }


def _workflow(source: Run, modifications: Modifications) -> Json:
    if modifications.input or modifications.overrides:
        message = (
            "A workflow has neither messages nor a prompt or model of its own: change fields of its state."
        )
        raise Invalid({"modifications": message})
    if source.workflow is None or source.workflow_version is None:
        raise NotFound("Workflow", source.workflow_name)
    document = parse(source.workflow_version.data["document"])
    require_workflow_usable(source.workflow, source.pins)
    given: Json = {"values": source.input["values"]}
    if modifications.state:
        given["state"] = _checked(document, modifications.state)
    return {
        "workflow_id": source.workflow_id,
        "workflow_version_id": source.workflow_version_id,
        "pins": source.pins,
        "input": given,
        "input_query": source.input_query,
    }


def _checked(document: Document, changes: Mapping[str, Any]) -> Json:
    faults: dict[str, str] = {}
    for name, value in changes.items():
        one = document.state.get(name)
        if one is None:
            faults[f"modifications.state.{name}"] = (
                f"The state has these fields: {', '.join(document.state)}."
            )
        elif message := number_fault(value) or value_fault(one, value):
            faults[f"modifications.state.{name}"] = message
    if faults:
        raise Invalid(faults)
    checked: Json = storable(dict(changes))
    return checked


def _model_and_pins(source: Run, other: ChatModel | None) -> tuple[ChatModel, list[Any]]:
    if source.agent is None:
        raise NotFound("Agent", source.agent_name)
    model = other or source.model
    if model is None:
        raise InvalidConfig({"modifications.model": "The run's model is deleted. Send another one."})
    pins = pins_on_model(source.pins, other, source.agent_version) if other else source.pins
    require_usable(source.agent, model, pins)
    return model, pins
