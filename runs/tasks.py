"""The jobs and the chore of this room."""

from __future__ import annotations

import uuid

from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.housekeeping import chore, remove
from runs.models import IdempotencyKey
from runs.turns import EXECUTE

QUEUES = ["runs"]


@queue.task(name=EXECUTE, queue="runs", pass_context=True)
async def execute(context: queue.JobContext, run_id: str) -> None:
    """Wakes this worker's executor for a run."""
    await context.additional_context["executor"].execute(uuid.UUID(run_id))


@chore
def remove_old_idempotency_keys() -> bool:
    return remove(IdempotencyKey.objects.filter(created_at__lt=timezone.now() - IdempotencyKey.LIFETIME))
