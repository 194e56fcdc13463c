"""Rows that wait until a worker takes them up, such as documents and exports.

A job in the queue only wakes a worker, which then takes up one row after the other. A row that waits has a `due_at`,
from when on anybody may take it up. Where its job was lost, or its worker was, the sweep wakes somebody.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.concurrency import in_thread

# Rows that a process is at at once: each takes a processor.
MOST_AT_ONCE = 2
# How long a row that can be taken up may wait before the sweep wakes somebody, and how often it does.
OVERDUE = timedelta(seconds=3)
WAKE_SECONDS = 5.0

Claim = TypeVar("Claim")


class Backlog:
    """The `waiting` rows, and the job that wakes a worker for them."""

    def __init__(self, task: str, queue_name: str, waiting: QuerySet[Any]) -> None:
        self._task, self._queue, self._waiting = task, queue_name, waiting
        self._busy = 0
        self._woken_at = -WAKE_SECONDS

    def wake(self) -> None:
        """Puts a job into the queue, as part of the current transaction."""
        queue.defer(self._task, queue=self._queue)

    def wake_overdue(self) -> None:
        """Wakes somebody where rows wait that nobody takes up."""
        now = time.monotonic()
        if now - self._woken_at < WAKE_SECONDS:
            return
        self._woken_at = now
        if self._waiting.filter(due_at__lt=timezone.now() - OVERDUE).order_by().exists():
            self.wake()

    async def work(
        self, claim_next: Callable[[], Claim | None], do: Callable[[Claim], Awaitable[None]]
    ) -> None:
        """Takes up rows as long as there are any. A process that is at several already leaves them to those."""
        if self._busy >= MOST_AT_ONCE:
            return
        self._busy += 1
        try:
            while claim := await in_thread(claim_next):
                await do(claim)
        finally:
            self._busy -= 1
