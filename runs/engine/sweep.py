"""The sweep: twice a second one worker looks for what nobody moves on, or what is due.

Every worker has a sweeper, on a thread and a connection of its own; an advisory lock lets one at a time work. What
somebody else has locked is left for the next sweep.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from agents.knowledge import indexing
from billing.exports import requests as export_requests
from runs import approvals, lifecycle
from runs.engine.connection import (
    CONNECTION_FAULTS,
    be_bounded,
    is_held_up,
    leaving_what_is_locked,
    release,
    waiting_briefly,
)
from runs.events import StoredEvent, by_run
from runs.models import Run, Worker
from runs.queueing import admission, stuck, turns
from runs.schedules import due
from runs.webhooks import outbox

logger = structlog.get_logger(__name__)

SWEEP_LOCK = 0x61677073
PERIOD_SECONDS = settings.WORKER_HEARTBEAT_SECONDS / 2
BATCH = 200
# How long people still see a worker that was lost.
LOST_WORKER_SHOWN = timedelta(minutes=1)

Publish = Callable[[uuid.UUID, list[StoredEvent]], object]
Events = Iterable[StoredEvent]


class Sweeper:
    """Sweeps until it is stopped; publishes (from its thread) the events of the runs that it has moved on."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        last = time.monotonic()
        # Whoever has just (re)connected has seen nobody's pulse yet: one full period passes before it judges.
        may_sweep_at = last + settings.WORKER_LOST_AFTER_SECONDS
        be_bounded(never_idle=True)
        while not self._stopping.wait(PERIOD_SECONDS):
            now = time.monotonic()
            if now - last > settings.WORKER_LOST_AFTER_SECONDS:
                may_sweep_at = now + settings.WORKER_LOST_AFTER_SECONDS
            try:
                if now >= may_sweep_at:
                    for run_id, events in sweep().items():
                        self._publish(run_id, events)
            except CONNECTION_FAULTS as error:
                release()
                may_sweep_at = time.monotonic() + settings.WORKER_LOST_AFTER_SECONDS
                logger.warning("sweep_failed", error=str(error))
                be_bounded(never_idle=True)
            except Exception:
                logger.exception("sweep_failed")
            last = time.monotonic()
        release()


def sweep() -> dict[uuid.UUID, list[StoredEvent]]:
    """Does all that is to be done, unless another worker is at it. Answers the events of the runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [SWEEP_LOCK])
        if not cursor.fetchone()[0]:
            return {}
        try:
            return by_run(_everything())
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [SWEEP_LOCK])


def _everything() -> Iterator[StoredEvent]:
    for part in (_runs_in_lost_hands, _forgotten_runs, _sessions, _approvals, _families, due.start_due):
        with _apart(part.__name__):
            yield from part()
    for chore in (
        _forget_lost_workers,
        admission.wake_where_room_is,
        outbox.wake_due,
        indexing.backlog.wake_overdue,
        export_requests.backlog.wake_overdue,
    ):
        with _apart(chore.__name__):
            chore()


@contextmanager
def _apart(name: str) -> Iterator[None]:
    """What goes wrong in one part keeps none of the others from being done."""
    try:
        with leaving_what_is_locked():
            yield
    except CONNECTION_FAULTS:
        raise
    except Exception:
        logger.exception("sweep_failed", part=name)


def _runs_in_lost_hands() -> Events:
    """Of the runs that have ended, too: then they are just let go."""
    return _take_up(Run.objects.filter(stuck.is_in_lost_hands()))


def _forgotten_runs() -> Events:
    queued_before = Now() - timedelta(seconds=stuck.FORGOTTEN_SECONDS)
    return _take_up(Run.objects.filter(stuck.is_forgotten(), queued_at__lt=queued_before))


def _take_up(runs: QuerySet[Any]) -> Events:
    # In no order: the table's own would make the database walk through all runs that there ever were.
    ids = list(runs.order_by().values_list("pk", flat=True)[:BATCH])
    if not ids:
        return []
    logger.warning("runs_taken_up", count=len(ids))
    return _requeued(ids)


def _requeued(ids: list[uuid.UUID]) -> Events:
    """Together; where that fails, one by one: a fault of one tenant's does not keep others' runs where they are."""
    try:
        yield from _events(lifecycle.requeue_lost(ids))
        return
    except Exception as error:
        if isinstance(error, CONNECTION_FAULTS) and not is_held_up(error):
            raise
        logger.warning("runs_taken_up_one_by_one", count=len(ids), error=str(error))
    with waiting_briefly():
        for run_id in ids:
            with _apart(f"run {run_id}"):
                yield from _events(lifecycle.requeue_lost([run_id]))


def _events(by_id: dict[uuid.UUID, list[StoredEvent]]) -> Events:
    return [event for events in by_id.values() for event in events]


def _sessions() -> Events:
    """Those whose next run was not woken when the one before ended."""
    for session_id in turns.forgotten_sessions(BATCH):
        with leaving_what_is_locked(), transaction.atomic():
            turns.hand_on(session_id, timezone.now())
    return []


def _approvals() -> Events:
    """Those for which nobody has decided in time."""
    for approval_id in approvals.due(BATCH):
        with leaving_what_is_locked():
            yield from approvals.expire(approval_id)


def _families() -> Events:
    for run_id in lifecycle.neglected(BATCH):
        with leaving_what_is_locked():
            yield from lifecycle.tend(run_id)


def _forget_lost_workers() -> None:
    Worker.objects.filter(beat_at__lt=Now() - LOST_WORKER_SHOWN).delete()
