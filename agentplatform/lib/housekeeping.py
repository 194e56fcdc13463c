"""Chores: what has to be done now and then, by one worker at a time and a bounded batch at a time.

    @chore
    def remove_old_things() -> bool:
        return remove(Thing.objects.filter(expires_at__lt=timezone.now()))

They stand in the `tasks.py` of each room, which Django imports when it starts. Whatever a chore does may be
done twice, late, or not at all for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from django.db import connection
from django.db.models import QuerySet

from agentplatform.lib.concurrency import in_thread

# A worker that has just started has more urgent things to do.
FIRST_AFTER_SECONDS = 60
PERIOD_SECONDS = 600
BATCH = 1000
LOCK = 0x61677068

Chore = Callable[[], bool]
"""Does one batch; true where there may be more to do."""

chores: dict[str, Chore] = {}
log = structlog.get_logger(__name__)


def chore(function: Chore) -> Chore:
    """Registers a chore under its name."""
    chores[function.__name__] = function
    return function


def remove(rows: QuerySet[Any]) -> bool:
    """Deletes up to BATCH of `rows` and what hangs on them; whether there may be more."""
    keys = list(rows.order_by().values_list("pk", flat=True)[:BATCH])
    rows.model._base_manager.filter(pk__in=keys).delete()
    return len(keys) == BATCH


async def keep_house() -> None:
    """Does all chores every PERIOD_SECONDS, until it is cancelled."""
    await asyncio.sleep(FIRST_AFTER_SECONDS)
    while True:
        await do_chores()
        await asyncio.sleep(PERIOD_SECONDS)


async def do_chores() -> None:
    """Does all chores to their end. One that fails keeps none of the others from being done."""
    for name, function in chores.items():
        try:
            while await in_thread(alone, function):
                pass
        except Exception as error:
            log.warning("chore_failed", chore=name, error=str(error))


def alone(function: Chore) -> bool:
    """One batch of a chore, unless another worker is at one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return False
        try:
            return function()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
