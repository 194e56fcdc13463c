"""What clients ask for: permission, tenant and input are settled here, once for REST, WebSocket and every protocol;
`lifecycle` then changes the state.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid, NotFound, PermissionDenied
from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from agents.launch import Launch, prepare
from runs import lifecycle
from runs.events import StoredEvent
from runs.models import IdempotencyKey, Message, Run, Session, Status

NEW_SESSION = "New session"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked for, whatever the protocol. `messages` are `{"role", "content"}`, the last is the query."""

    messages: list[dict[str, str]]
    agent: str = ""
    session_id: uuid.UUID | None = None
    end_user: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    priority: int = 0
    start: bool = True


@dataclass(frozen=True, slots=True)
class Started:
    """A run and the events it has; `repeated` when an idempotency key has found an earlier one."""

    run: Run
    events: list[StoredEvent]
    repeated: bool = False


def start_run(
    actor: Actor, request: RunRequest, *, run_id: uuid.UUID | None = None, idempotency_key: str = ""
) -> Started:
    """Creates a run and, unless asked not to, queues it.

    Raises PermissionDenied, NotFound (agent, session), InvalidConfig (something that it needs is disabled) and,
    when the key was used for another request, Invalid.
    """
    actor.require("execute:agent")
    with transaction.atomic():
        if idempotency_key and (earlier := _earlier(actor, idempotency_key, request)):
            return Started(earlier, [], repeated=True)
        session = _session(actor, request)
        launch = prepare(actor.workspace_id, _agent_identifier(request, session))
        run = _new_run(actor, request, launch, session, run_id or uuid7())
        events = lifecycle.start(run, queued=request.start)
        if session is not None:
            _record_message(session, run)
        if idempotency_key:
            _remember(actor, idempotency_key, request, run)
        return Started(run, events)


def cancel_run(actor: Actor, run_id: uuid.UUID, reason: str = "") -> list[StoredEvent]:
    """Cancels a run that the actor may control. Raises NotFound, PermissionDenied, Conflict."""
    controllable(actor, run_id)
    return lifecycle.cancel(run_id, reason)


def pause_run(actor: Actor, run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Pauses a run that the actor may control; its status now. Raises NotFound, PermissionDenied, Conflict."""
    controllable(actor, run_id)
    return lifecycle.pause(run_id)


def resume_run(actor: Actor, run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Lets a paused run that the actor may control go on; its status now. Raises as `pause_run` does."""
    controllable(actor, run_id)
    return lifecycle.resume(run_id)


def enqueue_run(actor: Actor, run_id: uuid.UUID) -> list[StoredEvent]:
    """Starts a run that was created with `start: false`."""
    controllable(actor, run_id)
    return lifecycle.enqueue(run_id)


def retry_run(actor: Actor, run_id: uuid.UUID) -> Started:
    """A new run with the same input, of the agent as it is now, linked to the old one as its parent."""
    old = controllable(actor, run_id)
    actor.require("execute:agent")
    if old.agent_id is None:
        raise NotFound("Agent", old.agent_name)
    request = RunRequest(
        messages=old.input["messages"],
        agent=str(old.agent_id),
        session_id=old.session_id,
        end_user=old.end_user,
        config=old.config,
        limits=old.limits,
        metadata=old.metadata,
        tags=tuple(old.tags),
        priority=old.priority,
    )
    with transaction.atomic():
        started = start_run(actor, request)
        Run.objects.filter(pk=started.run.pk).update(parent=old)
        started.run.parent_id = old.pk
    return started


def controllable(actor: Actor, run_id: uuid.UUID) -> Run:
    """The run, if the actor may steer it: its own with `control:run`, others' with `control:all-runs`."""
    run: Run = Run.objects.named(actor, run_id)
    actor.require("control:run")
    if run.user_id != actor.user_id and not actor.may("control:all-runs"):
        raise PermissionDenied("This run belongs to somebody else; steering it needs 'control:all-runs'.")
    return run


def _session(actor: Actor, request: RunRequest) -> Session | None:
    if request.session_id is None:
        return None
    session: Session = Session.objects.named(actor, request.session_id)
    if session.user_id != actor.user_id and not actor.may("write:all-sessions"):
        raise PermissionDenied(
            "This session belongs to somebody else; writing to it needs 'write:all-sessions'."
        )
    return session


def _agent_identifier(request: RunRequest, session: Session | None) -> str | None:
    """The agent asked for, else the session's, else the workspace's default one."""
    if request.agent:
        return request.agent
    return str(session.agent_id) if session and session.agent_id else None


def _new_run(
    actor: Actor, request: RunRequest, launch: Launch, session: Session | None, run_id: uuid.UUID
) -> Run:
    messages = storable(request.messages)
    return Run(
        id=run_id,
        workspace_id=actor.workspace_id,
        agent_id=launch.agent_id,
        model_id=launch.model_id,
        agent_name=launch.name,
        agent_version_id=launch.version_id,
        pins=launch.pins,
        session_id=session.pk if session else None,
        user_id=actor.user_id,
        username=actor.username,
        end_user=storable(request.end_user),
        api_key_id=actor.api_key_id,
        api_key_name=actor.api_key_name,
        input={"messages": messages},
        input_query=messages[-1]["content"],
        config=dict(request.config),
        limits=dict(request.limits),
        metadata=storable(dict(request.metadata)),
        tags=list(request.tags),
        priority=request.priority,
        currency=launch.currency,
    )


def _record_message(session: Session, run: Run) -> None:
    """The user's message, and the session's automatic name from its first one."""
    Message.objects.create(
        session=session, run=run, source="user", content=run.input_query, created_at=run.created_at
    )
    changes: dict[str, Any] = {"updated_at": run.created_at}
    if session.title == NEW_SESSION and not session.named_by_person:
        changes["title"] = automatic_name(run.input_query)
    if session.agent_id is None:
        changes["agent_id"] = run.agent_id
    Session.objects.filter(pk=session.pk).update(**changes)


def automatic_name(text: str) -> str:
    """The first line of a message, cut at a word where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= 60:
        return line or NEW_SESSION
    return line[:60].rsplit(" ", 1)[0].rstrip(" ,;:.") + " …"


# --- idempotency ---


def _earlier(actor: Actor, key: str, request: RunRequest) -> Run | None:
    """The run that this key has made before. Two requests at once wait for each other on the key's lock."""
    with transaction.get_connection().cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{actor.workspace_id}{actor.key}{key}"]
        )
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
