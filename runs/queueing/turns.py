"""Whose turn it is: the queue's jobs that wake workers for runs, and the order of a session's runs.

A session's runs go one at a time. Its row's lock keeps their order; `runs.lifecycle` calls this in the transaction
that changes the run, and `runs.queueing.multitask` in the one that starts it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q

from agentplatform.lib import queue
from runs.models import ACTIVE, Run, Session, Status

EXECUTE = "runs.execute"
TEND = "runs.tend"
HAND_ON = "runs.hand_on"
QUEUE = "runs"
_HAS_TURN = Q(started_at__isnull=False) | Q(job_id__isnull=False) | Q(held_back=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run comes to stand: behind the turn `previous_id`, without a job while others are there."""

    job_id: int | None
    previous_id: uuid.UUID | None = None


def wake(run_id: uuid.UUID, queue_name: str, priority: int) -> int:
    """Puts the run's job into the queue; the job's id."""
    return queue.defer(EXECUTE, queue=queue_name, priority=priority, run_id=str(run_id))


def tend_later(run_id: uuid.UUID) -> None:
    """Has a worker look at a run among whose children something has happened; see `lifecycle.tend`.

    A job, because whoever changes a child holds the child's lock, and waiting for its parent's could be for ever.
    """
    queue.defer(TEND, queue=QUEUE, run_id=str(run_id))


def is_free(session_id: uuid.UUID) -> bool:
    """Whether no run of the session is active, and none becomes so until the transaction ends."""
    _lock(session_id)
    return not _active(session_id).exists()


def place(run_id: uuid.UUID, session_id: uuid.UUID | None, queue_name: str, priority: int) -> Place:
    """The place of a run that comes new to its session, whose last turn the caller makes it."""
    previous_id = None
    if session_id is not None:
        previous_id = _lock(session_id)
        if _active(session_id).exclude(pk=run_id).exists():
            return Place(None, previous_id)
    return Place(wake(run_id, queue_name, priority), previous_id)


def join(run_id: uuid.UUID, session_id: uuid.UUID | None, place: Place) -> None:
    """Makes a run that was only created before its session's last turn."""
    if session_id is not None:
        Run.objects.filter(pk=run_id).update(previous_id=place.previous_id)
        Session.objects.filter(pk=session_id).update(head_id=run_id)


def wake_unless_held(
    run_id: uuid.UUID, session_id: uuid.UUID | None, queue_name: str, priority: int
) -> int | None:
    """The job of a run that comes back to its session: none while another one holds it."""
    if session_id is not None:
        _lock(session_id)
        if _holding(session_id).exclude(pk=run_id).exists():
            return None
    return wake(run_id, queue_name, priority)


def hand_on(session_id: uuid.UUID, now: datetime) -> None:
    """Wakes the session's next queued run, in the transaction that ends the one before.

    Where somebody else holds that run's lock, and may be waiting for the session's, a job looks again.
    """
    Session.objects.select_for_update().filter(pk=session_id).update(updated_at=now)
    if _holding(session_id).exists():
        return
    # In the order in which they came to the session, which is that of their messages.
    head = _active(session_id).order_by("created_at", "pk").values_list("pk", "status").first()
    if head is None or head[1] != Status.QUEUED:
        return
    own = Run.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=head[0])
    if locked := own.values_list("status", "queue", "priority").first():
        status, queue_name, priority = locked
        if status == Status.QUEUED:
            Run.objects.filter(pk=head[0]).update(job_id=wake(head[0], queue_name, priority))
    else:
        queue.defer(HAND_ON, queue=QUEUE, session_id=str(session_id))


def forgotten_sessions(most: int) -> list[uuid.UUID]:
    """Sessions whose next run nobody will wake: the job that was to do it was lost with its worker."""
    holding = Run.objects.filter(_HAS_TURN, session_id=OuterRef("session_id"), status__in=ACTIVE)
    next_ones = Run.objects.filter(
        status=Status.QUEUED, job_id__isnull=True, held_back=False, session_id__isnull=False
    )
    found = next_ones.exclude(Exists(holding)).order_by().values_list("session_id", flat=True)
    return list(dict.fromkeys(found[:most]))


def _lock(session_id: uuid.UUID) -> uuid.UUID | None:
    """Locks a session; its last turn."""
    return Session.objects.select_for_update().values_list("head_id", flat=True).get(pk=session_id)


def _active(session_id: uuid.UUID) -> Any:
    return Run.objects.filter(session_id=session_id, status__in=ACTIVE)


def _holding(session_id: uuid.UUID) -> Any:
    """The run that the session's others wait for: one that has begun, is about to, or would but for its workspace."""
    return _active(session_id).filter(_HAS_TURN)
