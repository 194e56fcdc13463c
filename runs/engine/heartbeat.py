"""The pulse of a worker, and the sweep that notices whose pulse has stopped.

On a thread and a connection of its own, so that neither a busy event loop nor a full pool can make a
living worker look dead. All times are the database's, so clocks of machines need not agree.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from runs import lifecycle
from runs.engine.journal import CONNECTION_FAULTS
from runs.events import StoredEvent
from runs.models import Run, Worker

logger = structlog.get_logger(__name__)

SWEEP_LOCK = 0x61677073
# A queued run whose wake-up was lost (its job was taken by a worker that died at once) is woken again.
FORGOTTEN_SECONDS = 4
BATCH = 200

Publish = Callable[[uuid.UUID, list[StoredEvent]], object]


class Heartbeat:
    """Registers the worker, beats, sweeps. Calls `on_lapse` (from its thread) when its own beat was late."""

    def __init__(
        self,
        worker_id: uuid.UUID,
        concurrency: int,
        publish: Publish,
        on_lapse: Callable[[], object],
        is_well: Callable[[], bool],
    ) -> None:
        self.worker_id = worker_id
        self._concurrency = concurrency
        self._publish = publish
        self._on_lapse = on_lapse
        self._is_well = is_well
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._register()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and takes the worker's row away."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _register(self) -> None:
        Worker.objects.update_or_create(
            id=self.worker_id,
            defaults={
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "concurrency": self._concurrency,
                "beat_at": Now(),
            },
        )
        connection.close()

    def _work(self) -> None:
        last = time.monotonic()
        # Whoever has just (re)connected has seen nobody's pulse yet: one full period passes before it judges.
        may_sweep_at = last + settings.WORKER_LOST_AFTER_SECONDS
        while not self._stopping.wait(settings.WORKER_HEARTBEAT_SECONDS / 2):
            if not self._is_well():
                logger.critical("worker_unwell", reason="Its journal has ended; others take its runs up.")
                break
            try:
                self._beat()
                now = time.monotonic()
                if now - last > settings.WORKER_LOST_AFTER_SECONDS:
                    logger.warning("heartbeat_lapsed", seconds=round(now - last, 1))
                    self._on_lapse()
                    may_sweep_at = now + settings.WORKER_LOST_AFTER_SECONDS
                last = now
                if now >= may_sweep_at:
                    for run_id, events in sweep().items():
                        self._publish(run_id, events)
            except CONNECTION_FAULTS as error:
                connection.close()
                may_sweep_at = time.monotonic() + settings.WORKER_LOST_AFTER_SECONDS
                logger.warning("heartbeat_failed", error=str(error))
            except Exception:
                logger.exception("heartbeat_failed")
        self._sign_off()

    def _beat(self) -> None:
        if not Worker.objects.filter(pk=self.worker_id).update(beat_at=Now()):
            self._register()

    def _sign_off(self) -> None:
        try:
            Worker.objects.filter(pk=self.worker_id).delete()
        except CONNECTION_FAULTS as error:
            logger.warning("worker_not_signed_off", error=str(error))
        finally:
            connection.close()


def mark_draining(worker_id: uuid.UUID) -> None:
    """Shows operators that the worker takes no more runs."""
    with contextlib.suppress(*CONNECTION_FAULTS):
        Worker.objects.filter(pk=worker_id).update(draining=True)


def sweep() -> dict[uuid.UUID, list[StoredEvent]]:
    """Takes up the runs of lost workers and wakes forgotten ones; one sweeper at a time. Answers their events."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [SWEEP_LOCK])
        if not cursor.fetchone()[0]:
            return {}
        try:
            return _sweep()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [SWEEP_LOCK])


def _sweep() -> dict[uuid.UUID, list[StoredEvent]]:
    lost_before = Now() - timedelta(seconds=settings.WORKER_LOST_AFTER_SECONDS)
    living = Worker.objects.filter(beat_at__gte=lost_before).values("pk")
    in_lost_hands = Run.objects.filter(worker_id__isnull=False).exclude(worker_id__in=living)
    ids = list(in_lost_hands.values_list("pk", flat=True)[:BATCH])
    events = lifecycle.requeue_lost(ids) if ids else {}
    Worker.objects.filter(beat_at__lt=lost_before - timedelta(minutes=1)).delete()
    return {**events, **_wake_forgotten()}


def _wake_forgotten() -> dict[uuid.UUID, list[StoredEvent]]:
    """Queued runs whose job is gone, or was taken long ago without the run having begun."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT run.id FROM runs_run run LEFT JOIN procrastinate_jobs job ON job.id = run.job_id
            WHERE run.status = 'queued' AND run.job_id IS NOT NULL AND run.queued_at < now() - make_interval(secs => %s)
            AND (job.id IS NULL OR (job.status = 'doing' AND NOT EXISTS (
                SELECT 1 FROM procrastinate_events event
                WHERE event.job_id = job.id AND event.type = 'started' AND event.at > now() - make_interval(secs => %s)
            )))
            LIMIT %s
            """,
            [FORGOTTEN_SECONDS, FORGOTTEN_SECONDS, BATCH],
        )
        ids = [row[0] for row in cursor.fetchall()]
    if ids:
        logger.warning("forgotten_runs", count=len(ids))
    return lifecycle.requeue_lost(ids) if ids else {}
