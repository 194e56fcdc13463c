"""What begins at a checkpoint: a fork with changes, a restored run, or the run itself, set back.

A new run never touches the one that it comes from: it has a copy of the history up to the checkpoint in a thread of
its own, and goes on with the versions that its source used, whatever has been edited since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid, InvalidConfig, NotFound
from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from agents.launch import pins_on_model, require_usable
from agents.models import ChatModel
from runs import lifecycle
from runs.commands import Started
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
    actor.require("execute:agent")
    checkpoint = checkpoints.find(actor, checkpoint_id)
    _require_something_to_do(checkpoint, modifications)
    return _branch(actor, checkpoint, Relation.FORK, description, modifications)


def restore(actor: Actor, checkpoint_id: object, modifications: Modifications = UNCHANGED) -> Started:
    """A new run that goes on from a checkpoint as its source did. Raises as `fork`; one that had ended ends again."""
    actor.require("execute:agent")
    checkpoint = checkpoints.find(actor, checkpoint_id)
    return _branch(actor, checkpoint, Relation.RESTORE, "", modifications)


def restore_in_place(actor: Actor, checkpoint_id: object) -> list[StoredEvent]:
    """Sets the run itself back. Raises PermissionDenied, NotFound, and Conflict unless it is paused or waits."""
    checkpoint = checkpoints.find(actor, checkpoint_id)
    assert checkpoint.run_id
    controllable(actor, checkpoint.run_id)
    return lifecycle.rewind(checkpoint.run_id, checkpoint)


def _require_something_to_do(checkpoint: Checkpoint, modifications: Modifications) -> None:
    if modifications.messages is not None:
        return
    state = checkpoints.read(checkpoint)
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
        run = _new_run(actor, source, modifications)
        run.relation, run.parent_id, run.source_checkpoint_id = relation, source.pk, checkpoint.pk
        run.description, run.total_steps = storable(description), checkpoint.step_num
        events = lifecycle.start(run)
        threads.copy_history(checkpoint, run)
    return Started(run, events)


def _locked_source(checkpoint: Checkpoint) -> Run:
    """The checkpoint's run. Whoever prunes its history takes this lock too."""
    runs = Run.objects.select_for_update(of=("self",), no_key=True)
    source = runs.select_related("agent", "model").get(pk=checkpoint.run_id)
    if not Checkpoint.objects.filter(pk=checkpoint.pk).exists():
        raise NotFound("Checkpoint", checkpoint.pk)
    return source


def _new_run(actor: Actor, source: Run, modifications: Modifications) -> Run:
    """What the source was asked for, with the modifications, in the name of the actor. It is in no session."""
    model, pins = _model_and_pins(source, modifications.model)
    changed = modifications.input
    return Run(
        id=uuid7(),
        workspace_id=source.workspace_id,
        agent_id=source.agent_id,
        model_id=model.pk,
        agent_name=source.agent_name,
        agent_version_id=source.agent_version_id,
        pins=pins,
        user_id=actor.user_id,
        username=actor.username,
        end_user=source.end_user,
        api_key_id=actor.api_key_id,
        api_key_name=actor.api_key_name,
        # A source that was forked itself has replaced its messages already.
        input=changed or {"messages": source.input["messages"]},
        input_query=_query(changed["messages"]) if changed else source.input_query,
        config={**source.config, **modifications.config},
        limits=source.limits,
        overrides={**source.overrides, **modifications.overrides},
        metadata=source.metadata,
        tags=source.tags,
        queue=source.queue,
        priority=source.priority,
        currency=source.currency,
    )


def _model_and_pins(source: Run, other: ChatModel | None) -> tuple[ChatModel, list[Any]]:
    if source.agent is None:
        raise NotFound("Agent", source.agent_name)
    model = other or source.model
    if model is None:
        raise InvalidConfig({"modifications.model": "The run's model is deleted. Send another one."})
    pins = pins_on_model(source.pins, other) if other else source.pins
    require_usable(source.agent, model, pins)
    return model, pins


def _query(messages: Sequence[Json]) -> str:
    """The last text of a user."""
    queries = (message["content"] for message in reversed(messages) if message["role"] == "user")
    return next(queries, "")
