"""What people do with messages: edit, ask again, go back to another version, stop. Nothing is deleted by any of it.

Each is one transaction that holds the session's lock. Runs under way would write to the branch that is being left, so
there must be none: they are refused, or cancelled where the strategy says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict, Invalid, NotFound
from agentplatform.lib.ids import as_uuid
from runs.commands import RunRequest, Started, again, start_run, writable_session
from runs.conversations import attachments
from runs.conversations.tree import Tree, show
from runs.events import StoredEvent
from runs.models import Attachment, Message, Run, Session, Status
from runs.queueing import multitask
from runs.queueing.multitask import ENDING, Strategy
from runs.sessions import USER
from runs.workflow_input import MESSAGE

STOPPED = "stopped by a person"


@dataclass(frozen=True, slots=True)
class Said:
    """A message at its turn, its session locked. `others` are the events of runs that were cancelled for it."""

    message: Message
    turn: Run
    question: Message
    """What the turn answers: the first of its messages."""
    others: list[StoredEvent]

    @property
    def is_question(self) -> bool:
        return self.message.pk == self.question.pk


def edit(
    actor: Actor,
    session_id: uuid.UUID,
    message_id: object,
    content: str,
    strategy: Strategy | None,
    run_id: uuid.UUID,
    attachment_ids: Sequence[uuid.UUID] | None = None,
) -> Started:
    """Says a message otherwise: a new turn in its place. It and all that came after it make another branch.

    Without `attachment_ids` it keeps its attachments.

    Raises as `start_run` does; NotFound; Invalid for what is no message of a user; Conflict while a run is under way.
    """

    def changed(request: RunRequest, said: Said) -> RunRequest:
        if not said.is_question or said.question.source != USER:
            raise Invalid("Only messages of the user can be edited. Ask for another answer with /regenerate.")
        return _with_text(request, content)

    return _say_again(actor, session_id, message_id, strategy, run_id, changed, attachment_ids)


def regenerate(
    actor: Actor, session_id: uuid.UUID, message_id: object, strategy: Strategy | None, run_id: uuid.UUID
) -> Started:
    """Asks again what a message asks, or is the answer of: a new turn in its turn's place. Raises as `edit` does."""

    def repeated(request: RunRequest, said: Said) -> RunRequest:
        return replace(request, retry_of=said.turn.pk)

    return _say_again(actor, session_id, message_id, strategy, run_id, repeated)


def select(
    actor: Actor, session_id: uuid.UUID, message_id: object, strategy: Strategy | None = None
) -> tuple[Message, list[StoredEvent]]:
    """Shows the branch that a message stands on, down to its newest turn. Answers the message, and events to announce.

    Raises NotFound, PermissionDenied, Conflict while a run is under way.
    """
    with transaction.atomic():
        said = _find(actor, session_id, message_id, strategy)
        said.message.refresh_from_db()
        if not said.message.active:
            tree = Tree.of(session_id)
            show(tree, tree.newest_leaf(said.turn.pk))
            said.message.refresh_from_db()
            what = audit.Thing("Message", said.message.pk, workspace_id=actor.workspace_id)
            audit.record(Action.UPDATED, what, actor=actor, after={"session_id": session_id, "active": True})
    return said.message, said.others


def stop(actor: Actor, session_id: uuid.UUID) -> tuple[list[uuid.UUID], list[StoredEvent]]:
    """Cancels the runs of a session that are queued or have begun: their ids, and the events to announce.

    What was streamed of an answer stays. Raises NotFound, PermissionDenied.
    """
    actor.require("control:run")
    with transaction.atomic():
        session = writable_session(actor, session_id)
        stored = multitask.end_all(actor, session.pk, STOPPED)
        own = Run.objects.filter(pk__in=stored, session_id=session.pk).order_by("created_at", "pk")
        run_ids = list(own.values_list("pk", flat=True))
    return run_ids, [event for events in stored.values() for event in events]


def _say_again(
    actor: Actor,
    session_id: uuid.UUID,
    message_id: object,
    strategy: Strategy | None,
    run_id: uuid.UUID,
    change: Callable[[RunRequest, Said], RunRequest],
    attachment_ids: Sequence[uuid.UUID] | None = None,
) -> Started:
    """Starts what the message's turn was asked for, changed, in that turn's place. Its attachments: None keeps them."""
    actor.require("execute:agent")
    with transaction.atomic():
        said = _find(actor, session_id, message_id, strategy)
        request = change(replace(again(actor, said.turn), session_id=session_id), said)
        if attachment_ids is None:
            sent = list(Attachment.objects.filter(message=said.question).order_by("pk"))
        else:
            sent = attachments.to_send(session_id, attachment_ids, said.question)
            request = _with_attachments(request, sent)
        show(Tree.of(session_id), said.turn.previous_id)
        started = start_run(actor, request, run_id=run_id)
        assert started.message
        message, question = started.message, said.question
        if (message.source, message.type) != (question.source, question.type):
            message.source, message.type = question.source, question.type
            message.save(update_fields=["source", "type"])
        attachments.give(sent, message)
    return replace(started, others=said.others)


def _find(actor: Actor, session_id: uuid.UUID, message_id: object, strategy: Strategy | None) -> Said:
    """The message, once nothing of its session is under way. Raises NotFound, PermissionDenied, Conflict, Invalid."""
    session = writable_session(actor, session_id)
    _message(session, message_id)
    others: list[StoredEvent] = []
    if strategy in ENDING:
        # Rolling back would delete messages; going to another branch leaves them behind anyway.
        others = multitask.make_way(actor, session.pk, Strategy.INTERRUPT)
    else:
        multitask.require_free(session.pk)
    message = _message(session, message_id)
    turn = Run.objects.filter(messages=message, session_id=session.pk).first()
    if turn is None:
        raise Invalid(
            "This message was copied from another conversation, or its run is gone: it has no turn here."
        )
    if turn.status == Status.CREATED:
        raise Conflict(
            "The message's run has not been started yet. Start or cancel it first.",
            details={"run_id": str(turn.pk), "status": turn.status},
        )
    question = Message.objects.filter(session_id=session.pk, run_id=turn.pk).order_by("created_at", "id")[0]
    return Said(message, turn, question, others)


def _message(session: Session, message_id: object) -> Message:
    key = as_uuid(message_id)
    found = Message.objects.filter(session_id=session.pk, pk=key).first() if key else None
    if found is None:
        raise NotFound("Message", message_id)
    return found


def _with_text(request: RunRequest, content: str) -> RunRequest:
    """With another text in the place of the last one of a user."""
    if request.workflow:
        if not isinstance(request.values.get(MESSAGE), str):
            raise Invalid(
                "This message is the input of a workflow. Start the workflow again with another input."
            )
        return replace(request, values={**request.values, MESSAGE: content})
    messages = [dict(message) for message in request.messages]
    last = next(message for message in reversed(messages) if message["role"] == "user")
    last["content"] = content
    return replace(request, messages=messages)


def _with_attachments(request: RunRequest, sent: Sequence[Attachment]) -> RunRequest:
    """With these in the place of those of the last message of a user."""
    if request.workflow:
        if sent:
            raise Invalid({"attachments": "A workflow takes no attachments."})
        return request
    messages = [dict(message) for message in request.messages]
    last = next(message for message in reversed(messages) if message["role"] == "user")
    last.pop("attachments", None)
    if sent:
        last["attachments"] = attachments.references(sent)
    return replace(request, messages=messages)
