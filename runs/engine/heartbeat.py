"""The pulse of a worker; `runs.engine.sweep` notices whose pulse has stopped.

On a thread and a connection of its own, and with nothing else to do, so that neither a busy event loop nor a full
pool nor a slow sweep can make a living worker look dead. All times are the database's, so clocks of machines need not
agree.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from runs.engine.connection import CONNECTION_FAULTS
from runs.models import Worker

logger = structlog.get_logger(__name__)


class Heartbeat:
    """Registers the worker and beats. Calls `on_lapse` (from its thread) when its own beat was late."""

    def __init__(
        self,
        worker_id: uuid.UUID,
        concurrency: int,
        on_lapse: Callable[[], object],
        is_well: Callable[[], bool],
    ) -> None:
        self.worker_id = worker_id
        self._concurrency = concurrency
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
                last = now
            except CONNECTION_FAULTS as error:
                connection.close()
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
