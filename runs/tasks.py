"""The jobs of this room."""

from __future__ import annotations

import uuid

from agentplatform.lib import queue
from runs.lifecycle import EXECUTE

QUEUES = ["runs"]


@queue.task(name=EXECUTE, queue="runs", pass_context=True)
async def execute(context: queue.JobContext, run_id: str) -> None:
    """Wakes this worker's executor for a run."""
    await context.additional_context["executor"].execute(uuid.UUID(run_id))
