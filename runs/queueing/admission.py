"""How many runs a workspace may have under way at once, so that one tenant cannot starve the others.

Whether there is room is decided where a worker begins a run, in the journal's flush. A run without room stays queued,
is `held_back` and has no job, so it costs no worker anything. Whatever leaves makes room for the next: in order of
priority, then of age. Runs that another run's tools have started belong to that run's place and are never held back.
"""

from __future__ import annotations

import time
import uuid
from enum import Enum

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from accounts.models import Workspace
from runs.models import UNDER_WAY, Relation, Run, Status
from runs.queueing import turns

# How long a process may go on with a limit that has been changed meanwhile.
KEPT_SECONDS = 3.0
# Runs that a sweep wakes at once.
BATCH = 200
_COUNTED = ~Q(relation=Relation.CHILD, parent__isnull=False)

_kept_limits: dict[uuid.UUID, tuple[float, int | None]] = {}


class Decision(Enum):
    ADMITTED = "admitted"
    HELD_BACK = "held back"
    POSTPONED = "postponed"
    """Another transaction decides for the workspace at this moment: to be asked again in a later one."""


class Admission:
    """Decides for one transaction, so that several runs that begin in it count each other."""

    def __init__(self) -> None:
        self._room: dict[uuid.UUID, int | None] = {}

    def decide(self, workspace_id: uuid.UUID) -> Decision:
        """Whether one more run of the workspace may begin in this transaction."""
        limit = _kept_limit(workspace_id)
        if limit is None:
            return Decision.ADMITTED
        if workspace_id not in self._room:
            # Counted after the lock is held: whoever held it before has committed by then.
            self._room[workspace_id] = limit - _under_way(workspace_id) if _lock(workspace_id) else None
        room = self._room[workspace_id]
        if room is None:
            return Decision.POSTPONED
        self._room[workspace_id] = room - 1
        return Decision.ADMITTED if room > 0 else Decision.HELD_BACK


def limit_of(workspace_id: uuid.UUID) -> int | None:
    """The workspace's own limit or, where it has none, WORKSPACE_CONCURRENCY; None: any number."""
    own = Workspace.objects.values_list("max_concurrent_runs", flat=True).get(pk=workspace_id)
    return (settings.WORKSPACE_CONCURRENCY if own is None else own) or None


def wake_next(workspace_id: uuid.UUID, left: int) -> None:
    """Wakes a held-back run for each of the workspace's that has `left`, in the transaction in which it does.

    One too many does no harm: admission is decided again where it begins.
    """
    if _kept_limit(workspace_id) is not None:
        _wake(workspace_id, left)


def wake_where_room_is() -> None:
    """Wakes whatever is held back without need: a limit was raised, or a run that was woken did not come."""
    held_back = Run.objects.filter(held_back=True, status=Status.QUEUED)
    for workspace_id in held_back.order_by().values_list("workspace_id", flat=True).distinct():
        limit = limit_of(workspace_id)
        room = BATCH if limit is None else limit - _under_way(workspace_id) - _expected(workspace_id)
        if room > 0:
            with transaction.atomic():
                _wake(workspace_id, min(room, BATCH))


def _wake(workspace_id: uuid.UUID, most: int) -> None:
    next_ones = (
        Run.objects.select_for_update(no_key=True, skip_locked=True)
        .filter(workspace_id=workspace_id, held_back=True, status=Status.QUEUED)
        .order_by("-priority", "pk")
        .values_list("pk", "queue", "priority")
    )
    for run_id, queue_name, priority in next_ones[:most]:
        job_id = turns.wake(run_id, queue_name, priority)
        Run.objects.filter(pk=run_id).update(held_back=False, job_id=job_id)


def _kept_limit(workspace_id: uuid.UUID) -> int | None:
    """The limit as it was a moment ago: runs of workspaces without one begin without a query more."""
    now = time.monotonic()
    until, limit = _kept_limits.get(workspace_id, (0.0, None))
    if now >= until:
        limit = limit_of(workspace_id)
        _kept_limits[workspace_id] = (now + KEPT_SECONDS, limit)
    return limit


def _lock(workspace_id: uuid.UUID) -> bool:
    """Whether this transaction is the one that decides for the workspace, until it ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"admission {workspace_id}"]
        )
        return bool(cursor.fetchone()[0])


def _under_way(workspace_id: uuid.UUID) -> int:
    return Run.objects.filter(_COUNTED, workspace_id=workspace_id, status__in=UNDER_WAY).count()


def _expected(workspace_id: uuid.UUID) -> int:
    """Runs that will begin, or be held back, by themselves: their jobs are in the queue."""
    return Run.objects.filter(
        _COUNTED, workspace_id=workspace_id, status=Status.QUEUED, job_id__isnull=False
    ).count()
