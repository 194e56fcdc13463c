"""A message for a session whose earlier messages are still being answered: which of them goes on.

Everything here happens in the transaction that starts the new run, so that its session is never seen in between.
"""

from __future__ import annotations

import uuid
from enum import StrEnum

from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict
from agentplatform.lib.locks import lock_name
from runs import lifecycle
from runs.approvals import pending_of
from runs.control import require_control
from runs.events import StoredEvent
from runs.history.rollback import take_back
from runs.models import ACTIVE, Run, RunQuerySet, Status
from runs.queueing import turns

REASON = "interrupted by a newer message"


class Strategy(StrEnum):
    """What becomes of a session's runs that have not ended when another is started, as the LangGraph API names it."""

    ENQUEUE = "enqueue"
    """They end first."""
    REJECT = "reject"
    """The new one is refused."""
    INTERRUPT = "interrupt"
    """They are cancelled; what they have done stays in the conversation."""
    ROLLBACK = "rollback"
    """They are cancelled, and the conversation goes on as if they had never been."""


ENDING = frozenset({Strategy.INTERRUPT, Strategy.ROLLBACK})


def make_way(actor: Actor, session_id: uuid.UUID, strategy: Strategy | None) -> list[StoredEvent]:
    """Before a run is started: ends the session's others where the strategy says so. Answers their events.

    Raises PermissionDenied where one of them is not the actor's to steer. Holds the session's lock afterwards.
    """
    if strategy not in ENDING:
        return []
    stored = end_all(actor, session_id)
    if strategy == Strategy.ROLLBACK:
        take_back(session_id, list(stored))
    return [event for events in stored.values() for event in events]


def end_all(actor: Actor, session_id: uuid.UUID, reason: str = REASON) -> dict[uuid.UUID, list[StoredEvent]]:
    """Cancels the session's runs that are queued or have begun; their events, and those of the runs below them.

    For a caller in a transaction. Raises and locks as `make_way` does.
    """
    # Those that end each other's runs would otherwise make each other start over again and again.
    lock_name(f"multitask {session_id}")
    while True:
        with transaction.atomic():
            stored = _end_active(actor, session_id, reason)
            if turns.is_free(session_id):
                return stored
            # Another message has come in between. Runs are locked before their session: so from the beginning.
            transaction.set_rollback(True)


def require_free(session_id: uuid.UUID) -> None:
    """Raises Conflict, which names it, while a run of the session is under way. Holds the session's lock afterwards."""
    if not turns.is_free(session_id):
        _refuse_beside(_active(session_id).first())


def check_place(run: Run, strategy: Strategy | None) -> None:
    """After a run is started: raises Conflict, naming the run before it, where it may not wait for its turn.

    That is with `reject`, and without a strategy where a person has to decide first.
    """
    is_its_turn = run.job_id is not None or run.status == Status.CREATED
    if run.session_id is None or is_its_turn or strategy not in (None, Strategy.REJECT):
        return
    others = _active(run.session_id).exclude(pk=run.pk)
    if strategy == Strategy.REJECT:
        _refuse_beside(others.first())
    else:
        _refuse_behind(others.filter(status=Status.WAITING).first())


def _active(session_id: uuid.UUID) -> RunQuerySet:
    return Run.objects.filter(session_id=session_id, status__in=ACTIVE).order_by("created_at", "pk")


def _end_active(actor: Actor, session_id: uuid.UUID, reason: str) -> dict[uuid.UUID, list[StoredEvent]]:
    runs = _active(session_id).only("user_id")
    for run in runs:
        require_control(actor, run)
    ended = lifecycle.cancel_all([run.pk for run in runs], reason)
    for run in runs:
        audit.record(
            Action.RUN_CANCELLED, audit.Thing("Run", run.pk), actor=actor, after={"session_id": session_id}
        )
    return ended


def _refuse_beside(other: Run | None) -> None:
    if other is not None:
        raise Conflict(
            "The session has a run that has not ended. Send the message afterwards, or with another strategy.",
            details={"run_id": str(other.pk), "status": other.status},
        )


def _refuse_behind(waiting: Run | None) -> None:
    if waiting is not None and (approvals := pending_of(waiting)):
        raise Conflict(
            "The session waits for an approval. Decide it, or say in multitask_strategy what is to happen.",
            details={"run_id": str(waiting.pk), "approval_ids": [str(key) for key in approvals]},
        )
