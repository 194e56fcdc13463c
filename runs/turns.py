"""Whose turn it is: the queue's jobs that wake workers for runs, and the order of a session's runs.

A session's runs go one at a time. Its row's lock keeps their order; only `runs.lifecycle` calls this, in the
transaction that changes the run.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db.models import Q

from agentplatform.lib import queue
from runs.models import ACTIVE, Run, Session, Status

EXECUTE = "runs.execute"


def wake(run_id: uuid.UUID, queue_name: str, priority: int) -> int:
    """Puts the run's job into the queue; the job's id."""
    return queue.defer(EXECUTE, queue=queue_name, priority=priority, run_id=str(run_id))


def wake_on_turn(
    run_id: uuid.UUID, session_id: uuid.UUID | None, queue_name: str, priority: int
) -> int | None:
    """The job of a run that comes new to its session: none while others are there."""
    if session_id is not None:
        _lock(session_id)
        if _active(session_id).exclude(pk=run_id).exists():
            return None
    return wake(run_id, queue_name, priority)


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
    """Wakes the session's next queued run, in the transaction that ends the one before."""
    Session.objects.select_for_update().filter(pk=session_id).update(updated_at=now)
    if _holding(session_id).exists():
        return
    head = _active(session_id).order_by("pk").values_list("pk", "status", "queue", "priority").first()
    if head is None:
        return
    run_id, status, queue_name, priority = head
    if status == Status.QUEUED:
        Run.objects.filter(pk=run_id).update(job_id=wake(run_id, queue_name, priority))


def _lock(session_id: uuid.UUID) -> None:
    Session.objects.select_for_update().values_list("pk").get(pk=session_id)


def _active(session_id: uuid.UUID) -> Any:
    return Run.objects.filter(session_id=session_id, status__in=ACTIVE)


def _holding(session_id: uuid.UUID) -> Any:
    """The run that the session's others wait for: one that has begun, or is about to."""
    return _active(session_id).filter(Q(started_at__isnull=False) | Q(job_id__isnull=False))
