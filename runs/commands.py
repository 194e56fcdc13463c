"""What clients ask for: permission, tenant and input are settled here, once for REST, WebSocket and every protocol;
`lifecycle` then changes the state.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib import bulk
from agentplatform.lib.errors import Invalid, NotFound, PermissionDenied
from agentplatform.lib.ids import uuid7
from agentplatform.lib.locks import lock_name
from agentplatform.lib.text import storable
from agents.launch import Launch, prepare
from agents.workflows.launch import prepare_workflow
from runs import first_call, lifecycle
from runs.control import controllable
from runs.conversations.file_types import require_taken
from runs.events import StoredEvent
from runs.models import IdempotencyKey, Message, Relation, Run, Session, Status
from runs.queueing import multitask
from runs.queueing.multitask import Strategy
from runs.workflow_input import checked_input, query_of

NEW_SESSION = "New session"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked for, whatever the protocol.

    An agent's `messages` are shaped as `runs.engine.messages.as_json` writes them, mostly `{"role", "content"}`, and
    `bindings` is what the caller binds to its model, in the form of `agents.pinned.load`. A workflow's `values`
    are its input.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    agent: str = ""
    workflow: str = ""
    """Its id or name; empty: an agent is run."""
    version: int | None = None
    """Of the workflow; None: the published one."""
    values: Mapping[str, Any] = field(default_factory=dict)
    session_id: uuid.UUID | None = None
    end_user: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    priority: int = 0
    start: bool = True
    retry_of: uuid.UUID | None = None
    """The run that it tries again, its parent."""
    multitask_strategy: Strategy | None = None
    """What becomes of the session's runs that have not ended; None: nobody has said, as `enqueue`."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run and the events it has; `repeated` when an idempotency key has found an earlier one.

    `message` is what it answers, as its session keeps it. `others` are the events of runs that had to make way for
    it: whoever starts a run announces them too.
    """

    run: Run
    events: list[StoredEvent]
    repeated: bool = False
    message: Message | None = None
    others: list[StoredEvent] = field(default_factory=list)


def start_run(
    actor: Actor,
    request: RunRequest,
    *,
    run_id: uuid.UUID | None = None,
    idempotency_key: str = "",
    launch: Launch | None = None,
) -> Started:
    """Creates a run and, unless asked not to, queues it. `launch` is an agent that is tried as nobody has saved it.

    Raises PermissionDenied, NotFound (agent, workflow, session), InvalidConfig (something that it needs is disabled),
    BudgetExceeded (a budget that blocks has no room for its first model call), Conflict (it may not wait for the
    session's other runs, or the workflow is not published) and Invalid, when the key was used for another request or
    the input is not the workflow's.
    """
    actor.require("execute:workflow" if request.workflow else "execute:agent")
    with transaction.atomic():
        if idempotency_key and (earlier := _earlier(actor, idempotency_key, request)):
            audit.current().is_refused = True
            return Started(earlier, [], repeated=True)
        session = _session(actor, request)
        executed = _workflow(actor, request) if request.workflow else _agent(actor, request, session, launch)
        run = _new_run(actor, request, session, run_id or uuid7(), executed)
        first_call.require_room(run)
        others = _make_way(actor, session, request)
        events = lifecycle.start(
            run, queued=request.start, told=[beginning(run, actor, is_queued=request.start)]
        )
        message = None
        if session is not None:
            multitask.check_place(run, request.multitask_strategy)
            message = _record_message(session, run)
        if idempotency_key:
            _remember(actor, idempotency_key, request, run)
        return Started(run, events, message=message, others=others)


def cancel_run(actor: Actor, run_id: uuid.UUID, reason: str = "") -> list[StoredEvent]:
    """Cancels a run that the actor may control. Raises NotFound, PermissionDenied, Conflict."""
    run = controllable(actor, run_id)
    with transaction.atomic():
        events = lifecycle.cancel(run_id, reason)
        audit.record(Action.RUN_CANCELLED, named(run), actor=actor)
    return events


def pause_run(actor: Actor, run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Pauses a run that the actor may control; its status now. Raises NotFound, PermissionDenied, Conflict."""
    run = controllable(actor, run_id)
    with transaction.atomic():
        paused = lifecycle.pause(run_id)
        audit.record(Action.RUN_PAUSED, named(run), actor=actor)
    return paused


def resume_run(
    actor: Actor, run_id: uuid.UUID, limits: Mapping[str, Any] | None = None
) -> tuple[Status, list[StoredEvent]]:
    """Lets a paused run that the actor may control go on; its status now. `limits` go over the run's own.

    Raises as `pause_run` does, Conflict too where the run has used up a limit that is not raised.
    """
    run = controllable(actor, run_id)
    with transaction.atomic():
        resumed = lifecycle.resume(run_id, limits)
        audit.record(
            Action.RUN_RESUMED, named(run), actor=actor, after={"limits": limits} if limits else None
        )
    return resumed


def enqueue_run(actor: Actor, run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Starts a run that was created with `start: false`; its status now. Raises as `pause_run` does."""
    run = controllable(actor, run_id)
    with transaction.atomic():
        started = lifecycle.enqueue(run_id)
        audit.record(Action.RUN_STARTED, named(run), actor=actor)
    return started


def retry_run(actor: Actor, run_id: uuid.UUID, idempotency_key: str = "") -> Started:
    """A new run with the same input, of the agent or workflow as it is now, linked to the old one as its parent.

    It begins at the start: of a fork it takes the input alone, not what that has changed at its checkpoint; who wants
    that forks the checkpoint again. A workflow's version that was tried before it was published is tried again as it
    is by those who may write workflows.
    """
    old = controllable(actor, run_id)
    request = replace(again(actor, old), retry_of=old.pk, multitask_strategy=Strategy.ENQUEUE)
    return start_run(actor, request, idempotency_key=idempotency_key)


def named(run: Run) -> audit.Thing:
    """A run as the audit log names it: by its agent or workflow, never by what it was asked."""
    return audit.Thing("Run", run.pk, run.workflow_name or run.agent_name, run.workspace_id)


def beginning(run: Run, actor: Actor, *, is_queued: bool = True) -> bulk.Statement:
    """What the audit log tells of a new run; it travels with the run's first event.

    Whoever triggers another one's schedule is who has done it, although the run is the owner's.
    """
    told = {name: value for name in ("session_id", "parent_id", "relation") if (value := getattr(run, name))}
    return audit.entry(
        Action.RUN_STARTED if is_queued else Action.RUN_CREATED,
        named(run),
        actor=audit.current().actor or actor,
        after=told or None,
    )


def again(actor: Actor, run: Run) -> RunRequest:
    """What a run was asked for, of the agent or workflow as it is now. Raises NotFound where that is deleted."""
    return RunRequest(
        **_executed_by(actor, run),
        session_id=run.session_id,
        end_user=run.end_user,
        config=run.config,
        bindings=run.overrides.get("bindings", {}),
        limits=run.limits,
        metadata=run.metadata,
        tags=tuple(run.tags),
        priority=run.priority,
    )


def _executed_by(actor: Actor, run: Run) -> dict[str, Any]:
    if run.is_workflow:
        if run.workflow_id is None:
            raise NotFound("Workflow", run.workflow_name)
        version = _unpublished_version(run) if actor.may("write:workflow") else None
        return {"workflow": str(run.workflow_id), "version": version, "values": run.input["values"]}
    if run.agent_id is None:
        raise NotFound("Agent", run.agent_name)
    return {"agent": str(run.agent_id), "messages": run.input["messages"]}


def _unpublished_version(run: Run) -> int | None:
    """The number of the run's version where it is newer than the published one, or none is published."""
    assert run.workflow
    if run.workflow_version is None:
        return None
    number, published = run.workflow_version.number, run.workflow.published
    return number if published is None or number > published.number else None


def writable_session(actor: Actor, session_id: uuid.UUID) -> Session:
    """The session, if the actor may speak in it. Raises NotFound, PermissionDenied."""
    session: Session = Session.objects.named(actor, session_id)
    if session.user_id != actor.user_id and not actor.may("write:all-sessions"):
        raise PermissionDenied(
            "This session belongs to somebody else; writing to it needs 'write:all-sessions'."
        )
    return session


def _session(actor: Actor, request: RunRequest) -> Session | None:
    if request.session_id is None:
        return None
    return writable_session(actor, request.session_id)


def _make_way(actor: Actor, session: Session | None, request: RunRequest) -> list[StoredEvent]:
    """A run that is only created takes no place in its session yet, and nobody makes way for it."""
    if session is None or not request.start:
        return []
    return multitask.make_way(actor, session.pk, request.multitask_strategy)


def _agent(
    actor: Actor, request: RunRequest, session: Session | None, launch: Launch | None
) -> dict[str, Any]:
    """The agent asked for, else the session's, else the workspace's default one, as a run's columns have it."""
    identifier = request.agent or (str(session.agent_id) if session and session.agent_id else None)
    launch = launch or prepare(actor.workspace_id, identifier)
    messages = storable(request.messages)
    attached = [one for message in messages for one in message.get("attachments", ())]
    require_taken(attached, launch.model, launch.inputs)
    return {
        "agent_id": launch.agent_id,
        "model_id": launch.model_id,
        "agent_name": launch.name,
        "agent_version_id": launch.version_id,
        "pins": launch.pins,
        "currency": launch.currency,
        "input": {"messages": messages},
        "input_query": last_query(messages),
    }


def _workflow(actor: Actor, request: RunRequest) -> dict[str, Any]:
    """The same of a workflow. Another version than the published one is for those who write workflows."""
    if request.version is not None:
        actor.require("write:workflow")
    launch = prepare_workflow(actor.workspace_id, request.workflow, request.version)
    values = checked_input(launch, request.values)
    return {
        "workflow_id": launch.workflow_id,
        "workflow_name": launch.name,
        "workflow_version_id": launch.version_id,
        "pins": launch.pins,
        "currency": launch.currency,
        "input": {"values": values},
        "input_query": query_of(values),
    }


def _new_run(
    actor: Actor,
    request: RunRequest,
    session: Session | None,
    run_id: uuid.UUID,
    executed: Mapping[str, Any],
) -> Run:
    return Run(
        id=run_id,
        workspace_id=actor.workspace_id,
        session_id=session.pk if session else None,
        user_id=actor.user_id,
        username=actor.username,
        end_user=storable(request.end_user),
        api_key_id=actor.api_key_id,
        api_key_name=actor.api_key_name,
        config=dict(request.config),
        limits=dict(request.limits),
        overrides={"bindings": storable(dict(request.bindings))} if request.bindings else {},
        metadata=storable(dict(request.metadata)),
        tags=list(request.tags),
        priority=request.priority,
        parent_id=request.retry_of,
        relation=Relation.RETRY if request.retry_of else "",
        **executed,
    )


def last_query(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last text of a user."""
    queries = (message["content"] for message in reversed(messages) if message["role"] == "user")
    return next(queries, "")


def _record_message(session: Session, run: Run) -> Message:
    """The user's message, and the session's automatic name from its first one."""
    message = Message.objects.create(
        session=session, run=run, source="user", content=run.input_query, created_at=run.created_at
    )
    changes: dict[str, Any] = {"updated_at": run.created_at}
    if run.status == Status.QUEUED:
        changes["head_id"] = run.pk
    if session.title == NEW_SESSION and not session.named_by_person:
        changes["title"] = automatic_name(run.input_query)
    if session.agent_id is None and run.agent_id:
        changes["agent_id"] = run.agent_id
    Session.objects.filter(pk=session.pk).update(**changes)
    return message


def automatic_name(text: str) -> str:
    """The first line of a message, cut at a word where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= 60:
        return line or NEW_SESSION
    return line[:60].rsplit(" ", 1)[0].rstrip(" ,;:.") + " …"


# --- idempotency ---


def _earlier(actor: Actor, key: str, request: RunRequest) -> Run | None:
    """The run that this key has made before. Two requests at once wait for each other on the key's lock."""
    lock_name(f"{actor.workspace_id}{actor.key}{key}")
    since = timezone.now() - IdempotencyKey.LIFETIME
    keys = IdempotencyKey.objects.filter(workspace_id=actor.workspace_id, actor=actor.key, key=key)
    keys.filter(created_at__lt=since).delete()
    found = keys.select_related("run").first()
    if found and found.request_hash != _request_hash(request):
        raise Invalid(
            {"Idempotency-Key": "This key was used for another request. Use a new key for each new request."}
        )
    return found.run if found else None


def _remember(actor: Actor, key: str, request: RunRequest, run: Run) -> None:
    IdempotencyKey.objects.create(
        workspace_id=actor.workspace_id,
        actor=actor.key,
        key=key,
        request_hash=_request_hash(request),
        run=run,
        created_at=timezone.now(),
    )


def _request_hash(request: RunRequest) -> str:
    return hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()
