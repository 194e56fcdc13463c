"""What this room does beside requests: it settles calls that nobody else can, seals the ledger, and makes exports."""

from __future__ import annotations

from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.hash_chain import seal_next
from agentplatform.lib.housekeeping import chore
from agentplatform.lib.outboxes import outbox
from billing import ledger
from billing.exports import files, jobs, requests
from billing.sealing import LEDGER


@chore
def settle_forgotten_calls() -> bool:
    """Tests of models whose process ended before their answer came."""
    return ledger.settle_forgotten(timezone.now()) == ledger.BATCH


@outbox
def seal_usage() -> bool:
    """Entries of the ledger, in the order in which they were committed, more or less."""
    return seal_next(LEDGER)


@queue.task(name=requests.MAKE, queue=requests.QUEUE)
async def make_exports() -> None:
    """Makes the exports that wait for it."""
    await jobs.work()


@chore
def expire_exports() -> bool:
    """Files of exports whose time is over."""
    return jobs.expire_some()


@chore
def remove_orphaned_exports() -> bool:
    """Files in the storage that no export has."""
    files.remove_orphans()
    return False
