"""What a run had said when it was cancelled: it stays in the conversation."""

from __future__ import annotations

from datetime import datetime

from runs import event_log
from runs.events import EventType, rebuild_text
from runs.lifecycle.state import RunState
from runs.models import Message, Run

STOPPED = "stopped"


def keep_what_was_said(state: RunState, now: datetime) -> None:
    """Makes the text that was streamed of an agent's answer its session's next message, marked in its metadata.

    Of the last step alone, as the answer would have been. For the transaction that cancels the run, whose lock the
    caller holds: nothing is streamed after it.
    """
    if state.session_id is None or state.started_at is None:
        return
    agents_run = Run.objects.filter(pk=state.id, workflow_version__isnull=True)
    if (source := agents_run.values_list("agent_name", flat=True).first()) is None:
        return
    events = event_log.of_last_model_step(state.id)
    content, thought = rebuild_text(events), rebuild_text(events, EventType.THOUGHT_DELTA)
    if content or thought:
        Message.objects.create(
            session_id=state.session_id,
            run_id=state.id,
            source=source,
            content=content,
            thought=thought,
            metadata={STOPPED: True},
            created_at=now,
        )
