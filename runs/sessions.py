"""Conversations: made, changed, spoken in and deleted. Who may is settled here, as in `commands` for runs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import CharField, OuterRef, Subquery
from django.db.models.functions import Cast, JSONObject

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import NotFound
from agents.models import Agent
from runs.commands import RunRequest, Started, start_run, writable_session
from runs.conversations import attachments
from runs.models import Attachment, Checkpoint, CheckpointBlob, CheckpointWrite, Session, SessionQuerySet
from runs.queueing.multitask import Strategy

USER, TEXT = "user", "text"


def with_state(sessions: SessionQuerySet) -> SessionQuerySet:
    """Sessions with `agent_state`: the newest checkpoint of their thread, None before the first."""
    heads = Checkpoint.objects.of_people().automatic().filter(thread_id=Cast(OuterRef("pk"), CharField()))
    state = JSONObject(checkpoint_id="id", run_id="run_id", step_num="step_num", saved_at="created_at")
    return sessions.annotate(agent_state=Subquery(heads.order_by("-checkpoint_id").values(state=state)[:1]))


def create_session(actor: Actor, **values: Any) -> Session:
    """A conversation of the actor's, with the workspace's default agent where none is given."""
    actor.require("write:session")
    if values.get("agent") is None:
        values["agent"] = Agent.objects.visible_to(actor).filter(is_default=True).first()
    with transaction.atomic():
        session = Session.objects.create(
            workspace_id=actor.workspace_id,
            user_id=actor.user_id,
            named_by_person="title" in values,
            **values,
        )
        audit.created(session, actor=actor)
    return session


def latest_session(actor: Actor) -> Session | None:
    """The one of the actor's own in which something has happened last; None without any."""
    own = Session.objects.visible_to(actor).filter(user_id=actor.user_id)
    return own.order_by("-updated_at", "-id").first()


def change_session(actor: Actor, session: Session, **values: Any) -> Session:
    """Writes `values`; a name given here is never replaced by an automatic one."""
    _require(actor, session, "write:session", "write:all-sessions")
    if "title" in values:
        values["named_by_person"] = True
    with audit.updating(session, actor=actor):
        for name, value in values.items():
            setattr(session, name, value)
        session.save(update_fields=[*values, "updated_at"])
    return session


def delete_session(actor: Actor, session: Session) -> None:
    """Deletes a conversation with its messages and its agent's state; its runs stay, without it.

    Raises ProtectedError while one of its runs has not ended, NotFound when somebody else was faster.
    """
    _require(actor, session, "delete:session", "delete:all-sessions")
    thread_id = str(session.pk)
    with transaction.atomic():
        # Whoever starts a run in it waits for this lock.
        if not Session.objects.select_for_update().filter(pk=session.pk).exists():
            raise NotFound("Session", session.pk)
        attachments.delete_files_later(Attachment.objects.filter(session_id=session.pk))
        audit.record(Action.DELETED, audit.thing(session), actor=actor)
        session.delete()
        for table in (Checkpoint, CheckpointBlob, CheckpointWrite):
            table.objects.filter(thread_id=thread_id).delete()


def say(
    actor: Actor,
    session_id: uuid.UUID,
    content: str,
    *,
    source: str = USER,
    kind: str = TEXT,
    strategy: Strategy | None = None,
    attachment_ids: Sequence[uuid.UUID] = (),
    run_id: uuid.UUID,
) -> Started:
    """Puts a message into a conversation and starts the run that answers it.

    Raises as `start_run` does, and Invalid for attachments that are not there or that the model does not take.
    """
    message: dict[str, Any] = {"role": "user", "content": content}
    request = RunRequest([message], session_id=session_id, multitask_strategy=strategy)
    if (source, kind) == (USER, TEXT) and not attachment_ids:
        return start_run(actor, request, run_id=run_id)
    with transaction.atomic():
        if attachment_ids:
            session = writable_session(actor, session_id)
            sent = attachments.to_send(session.pk, attachment_ids)
            message["attachments"] = attachments.references(sent)
        started = start_run(actor, request, run_id=run_id)
        assert started.message
        started.message.source, started.message.type = source, kind
        started.message.save(update_fields=["source", "type"])
        if attachment_ids:
            attachments.give(sent, started.message)
        return started


def _require(actor: Actor, session: Session, permission: str, of_others: str) -> None:
    actor.require(permission)
    if session.user_id != actor.user_id:
        actor.require(of_others)
