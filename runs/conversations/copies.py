"""A conversation that goes another way from one of another's messages, which stays as it is."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from accounts import audit
from accounts.actor import Actor
from agentplatform.lib.errors import Conflict, NotFound
from agentplatform.lib.ids import as_uuid, uuid7
from runs.commands import writable_session
from runs.conversations import attachments
from runs.conversations.tree import Path, StateLost, Tree, state_after
from runs.history import threads
from runs.models import Checkpoint, Message, Session


def branch(actor: Actor, session_id: uuid.UUID, message_id: object, name: str | None = None) -> Session:
    """A session of the actor's with what was said up to a message, itself included, and the agent's state there.

    Its messages have no runs: those stay where they were. Raises PermissionDenied, NotFound, and Conflict where the
    agent's state is not kept any more.
    """
    actor.require("write:session")
    with transaction.atomic():
        source = writable_session(actor, session_id)
        if not Session.objects.select_for_update().filter(pk=source.pk).exists():
            raise NotFound("Session", session_id)
        key = as_uuid(message_id)
        message = Message.objects.filter(session_id=source.pk, pk=key).first() if key else None
        if message is None:
            raise NotFound("Message", message_id)
        path = Tree.of(source.pk).path_to(message.run_id)
        state = _state_at(source.pk, path, message)
        made = Session.objects.create(
            workspace_id=source.workspace_id,
            user_id=actor.user_id,
            end_user=source.end_user,
            agent_id=source.agent_id,
            title=name or source.title,
            named_by_person=name is not None or source.named_by_person,
        )
        audit.created(made, actor=actor)
        _copy_messages(_up_to(source.pk, path, message), made)
        if state is not None:
            threads.copy_state(state, str(made.pk))
    return made


def _up_to(session_id: uuid.UUID, path: Path, message: Message) -> QuerySet[Message]:
    """The messages of earlier turns, those of the message's own turn up to it, and those of no turn before it."""
    until_then = Q(created_at__lt=message.created_at) | Q(created_at=message.created_at, pk__lte=message.pk)
    earlier = Q(run_id__in=path[:-1]) | Q(Q(run_id=message.run_id) & until_then)
    without_turn = Q(Q(run_id__isnull=True) & until_then)
    return Message.objects.filter(earlier | without_turn, session_id=session_id)


def _copy_messages(messages: QuerySet[Message], into: Session) -> None:
    keys = list(messages.order_by("created_at", "id").values_list("pk", flat=True))
    source = """
        FROM runs_message original
        JOIN unnest(%(keys)s::uuid[], %(fresh_keys)s::uuid[]) AS key (id, fresh) ON original.id = key.id
    """
    replaced = {"id": "key.fresh", "session_id": "%(session)s::uuid", "run_id": "NULL", "active": "TRUE"}
    place: dict[str, Any] = {"keys": keys, "fresh_keys": [uuid7() for _ in keys], "session": into.pk}
    with connection.cursor() as cursor:
        cursor.execute(threads.copying(Message, source, **replaced), place)
    copied = zip(keys, place["fresh_keys"], strict=True)
    attachments.copy_all({key: Message(id=fresh, session=into) for key, fresh in copied})


def _state_at(session_id: uuid.UUID, path: Path, message: Message) -> Checkpoint | None:
    """The state in which the message is the last one, None where the agent has none yet. Raises Conflict."""
    try:
        if not path:
            return state_after(session_id, ())
        question = Message.objects.filter(session_id=session_id, run_id=path[-1]).order_by(
            "created_at", "id"
        )[0]
        if message.pk != question.pk:
            return state_after(session_id, path)
        of_turn = (
            Checkpoint.objects.automatic().of_people().filter(run_id=path[-1], thread_id=str(session_id))
        )
        return of_turn.order_by("checkpoint_id").first() or state_after(session_id, path[:-1])
    except StateLost:
        raise Conflict(
            "The agent's state at this message is not kept any more. Branch at a later message."
        ) from None
