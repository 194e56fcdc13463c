"""What this room does beside requests: it settles forgotten calls, seals, reprices, exports, and keeps budgets."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.hash_chain import seal_next
from agentplatform.lib.housekeeping import chore
from agentplatform.lib.outboxes import outbox
from billing import ledger, repricing
from billing.budgets import beginning, editing
from billing.exports import files, jobs, requests
from billing.models import Repricing
from billing.sealing import LEDGER

# A batch takes seconds: who has not come further for as long has lost its worker.
LONGEST_BATCH = timedelta(minutes=5)


@queue.task(name=repricing.TASK, queue=repricing.QUEUE)
async def reprice(repricing_id: str) -> None:
    """Prices a period's calls anew."""
    wanted = await in_thread(Repricing.objects.get, pk=repricing_id)
    await asyncio.sleep(max((repricing.begins_at(wanted) - timezone.now()).total_seconds(), 0))
    while await in_thread(repricing.step, uuid.UUID(repricing_id)):
        pass


@chore
def resume_repricings() -> bool:
    """Those whose worker or command has ended before they did."""
    still = timezone.now() - LONGEST_BATCH
    waiting = Repricing.objects.filter(status__in=repricing.ACTIVE, updated_at__lt=still)
    for repricing_id in waiting.values_list("pk", flat=True)[:100]:
        repricing.wake(repricing_id)
    return False


@chore
def settle_forgotten_calls() -> bool:
    """Tests of models whose process ended before their answer came."""
    return ledger.settle_forgotten(timezone.now()) == ledger.BATCH


@outbox
def count_new_budgets() -> bool:
    """What the ledger had before they were made."""
    return beginning.count_new()


@outbox
def follow_time_zones() -> bool:
    """Budgets whose workspace has moved: their periods begin by the new clock."""
    return editing.follow_time_zones()


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
