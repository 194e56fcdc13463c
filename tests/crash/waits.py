"""Waiting for what other processes do, with patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from runs.models import ACTIVE, IN_FLIGHT, Run, Status

PATIENCE_SECONDS = 40
POLL_SECONDS = 0.05


def until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Returns when the condition holds. Fails, naming `what` there was instead, when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"Not within {PATIENCE_SECONDS} s: {what()}"
        time.sleep(POLL_SECONDS)


def until_at_rest() -> None:
    """Until no run is in a worker's hands or about to be."""
    _until_none(IN_FLIGHT)


def until_ended() -> None:
    """Until every run has ended."""
    _until_none(ACTIVE)


def _until_none(statuses: Sequence[Status]) -> None:
    left = Run.objects.filter(status__in=statuses)
    until(lambda: not left.exists(), lambda: list(left.values_list("input_query", "status")))
