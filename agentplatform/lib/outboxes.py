"""Outboxes: what a trigger puts aside as rows are written, and one worker at a time works off a moment later.

    @outbox
    def seal_usage() -> bool:
        return seal_next(LEDGER)

They stand in the `tasks.py` of each room, as chores do (see `housekeeping`), and are looked at every second. A row lies
in an outbox until the transaction that has worked it off commits, so each is worked off once, in whatever order the
transactions that wrote them came to their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from agentplatform.lib.concurrency import in_thread

PERIOD_SECONDS = 1.0
# Batches of one outbox before the others have their turn.
MOST_BATCHES = 20

Outbox = Callable[[], bool]
"""Works off one batch in a transaction of its own; true where there may be more."""

outboxes: dict[str, Outbox] = {}
log = structlog.get_logger(__name__)


def outbox(function: Outbox) -> Outbox:
    """Registers an outbox under its name."""
    outboxes[function.__name__] = function
    return function


async def follow_outboxes() -> None:
    """Works off all outboxes every PERIOD_SECONDS, until it is cancelled."""
    while True:
        await asyncio.sleep(PERIOD_SECONDS)
        for name in list(outboxes):
            await work_off(name)


async def work_off(name: str) -> None:
    """Works off one outbox. Where that fails, it is tried again the next time, and the others have their turn."""
    try:
        for _ in range(MOST_BATCHES):
            if not await in_thread(outboxes[name]):
                break
    except Exception as error:
        log.warning("outbox_failed", outbox=name, error=str(error))
