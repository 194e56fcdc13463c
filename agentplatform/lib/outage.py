"""Remembering for a moment that a service does not answer, so that not everybody finds out by waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

# How long everybody is refused at once before the next one tries.
REFUSAL_SECONDS = 1.0


class Outage:
    """What this process knows of one service.

    `fault` is the exception that says, after a wait, that the service does not answer. For REFUSAL_SECONDS after one,
    the same is raised without the wait; then a single caller tries, and the others are refused until it knows.
    """

    def __init__(self, fault: type[Exception], message: str) -> None:
        self._fault = fault
        self._message = message
        self._lock = threading.Lock()
        self._refused_until = 0.0

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Around each use of the service. Raises the fault at once while it is away."""
        self._enter()
        try:
            yield
        except self._fault:
            self._refused_until = monotonic() + REFUSAL_SECONDS
            raise
        self._refused_until = 0.0

    def _enter(self) -> None:
        with self._lock:
            now = monotonic()
            if now < self._refused_until:
                raise self._fault(self._message)
            if self._refused_until:
                self._refused_until = now + REFUSAL_SECONDS
