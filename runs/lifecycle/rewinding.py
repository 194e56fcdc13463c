"""Back in time: a run that rests is set back to one of its checkpoints."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import CharField, Q, Value
from django.db.models.functions import Cast, Concat

from agentplatform.lib.errors import Conflict
from runs import event_log
from runs.events import Event, EventType, StoredEvent
from runs.history import threads
from runs.lifecycle.attempts import come_to_rest
from runs.lifecycle.people import end_cancelled
from runs.lifecycle.state import changing
from runs.models import AT_REST, Approval, Checkpoint, RunStep, ToolCall


def rewind(run_id: uuid.UUID, checkpoint: Checkpoint) -> list[StoredEvent]:
    """Sets a run back to a checkpoint of its own. It is paused then, and goes on from there when it is resumed.

    What its later steps have said and done is forgotten; what they have used stays paid for. The checkpoints after
    it are kept, aside of the run's way. Raises Conflict unless the run is paused or waits.
    """
    with changing(run_id) as change:
        run, now = change.run, change.now
        if run.status not in AT_REST:
            remedy = "Pause it first, or restore into a new run."
            message = (
                f"Only a run that is paused or waits can be set back; this one is {run.status!r}. {remedy}"
            )
            raise Conflict(message, details={"status": run.status})
        for child in change.below:
            end_cancelled(child, now, "The run that had started it was set back.")
        _forget_later(run_id, checkpoint, now)
        run.total_steps = checkpoint.step_num
        run.events.append(_told(run_id, checkpoint, threads.copy_within(checkpoint, now)))
        come_to_rest(run, now, reason="restored")
    return change.stored


def _forget_later(run_id: uuid.UUID, checkpoint: Checkpoint, now: datetime) -> None:
    """Steps, calls and decisions after a checkpoint. By time too: a way left aside has numbered its steps the same."""
    number, taken_at = checkpoint.step_num, checkpoint.created_at
    RunStep.objects.filter(Q(step_num__gt=number) | Q(started_at__gt=taken_at), run_id=run_id).delete()
    ToolCall.objects.filter(Q(step_num__gt=number) | Q(claimed_at__gt=taken_at), run_id=run_id).delete()
    approvals = Approval.objects.filter(Q(step__gt=number) | Q(created_at__gt=taken_at), run_id=run_id)
    pending = approvals.filter(status=Approval.Status.PENDING)
    pending.update(status=Approval.Status.CANCELLED, decided_at=now)
    # What was decided can still be read, but holds no more: the same call will be asked for again.
    approvals.update(key=Concat(Value("void:"), Cast("pk", CharField())))


def _told(run_id: uuid.UUID, checkpoint: Checkpoint, head: Checkpoint) -> Event:
    original = threads.original_of(checkpoint)
    data = {
        "checkpoint_id": str(head.pk),
        "step": head.step_num,
        "restored_from": str(checkpoint.pk),
        "supersedes_after_seq": event_log.seq_of_checkpoint(run_id, original.pk),
    }
    return Event(EventType.CHECKPOINT_CREATED, data, head.created_at, head.step_num)
