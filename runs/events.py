"""The vocabulary of a run's events: their types, the shape of each one's data, and their envelope.

Every event has `run_id`, `seq` (1, 2, 3 … per run, without holes), `attempt`, `step` (0 outside of steps),
`node` (the graph's node, may be empty), `type`, `timestamp` (UTC) and `data` (an object, shaped by its type).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict

import orjson
from django.db import models


class EventType(models.TextChoices):
    """Every type that a run's event may have."""

    RUN_QUEUED = "run_queued"
    RUN_STARTED = "run_started"
    ATTEMPT_STARTED = "attempt_started"
    STEP_STARTED = "step_started"
    CONTENT_DELTA = "content_delta"
    THOUGHT_DELTA = "thought_delta"
    TOOL_CALL_STARTED = "tool_call_started"
    TOOL_CALL_PROGRESS = "tool_call_progress"
    TOOL_CALL_COMPLETED = "tool_call_completed"
    TOOL_CALL_FAILED = "tool_call_failed"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_RESOLVED = "approval_resolved"
    USAGE_RECORDED = "usage_recorded"
    STEP_COMPLETED = "step_completed"
    CHECKPOINT_CREATED = "checkpoint_created"
    RETRYING = "retrying"
    RUN_PAUSING = "run_pausing"
    RUN_PAUSED = "run_paused"
    RUN_WAITING = "run_waiting"
    RUN_RESUMED = "run_resumed"
    BUDGET_WARNING = "budget_warning"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"


TERMINAL_EVENTS = frozenset({EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_CANCELLED})
DELTAS = frozenset({EventType.CONTENT_DELTA, EventType.THOUGHT_DELTA})


class Metrics(TypedDict):
    """What a run has used so far. `duration` in seconds; `cost` a decimal string, null while a price is missing."""

    total_tokens: int
    total_steps: int
    duration: float
    cost: str | None


# Why a run failed: `class` is one of `runs.models.ErrorClass`.
RunError = TypedDict("RunError", {"class": str, "message": str})


class RunQueued(TypedDict):
    run_id: str
    reason: NotRequired[str]


class RunStarted(TypedDict):
    run_id: str
    timestamp: str


class AttemptStarted(TypedDict):
    """Another worker goes on with the run. Deltas after `supersedes_after_seq` and before this event are void."""

    attempt: int
    resumed_from: str | None
    supersedes_after_seq: int


class StepStarted(TypedDict):
    """`type` is `model` or `tool`."""

    step: int
    type: str


class Delta(TypedDict):
    content: str


class ToolCallStarted(TypedDict):
    tool: str
    args: dict[str, Any]
    call_id: str


class ToolCallCompleted(TypedDict):
    """`duration` in seconds."""

    tool: str
    result: Any
    call_id: str
    duration: float


class ToolCallFailed(TypedDict):
    tool: str
    error: str
    call_id: str
    duration: float


class UsageRecorded(TypedDict):
    """One settled entry of the ledger. `cost` is a decimal string, null where no price is known."""

    usage_id: str
    provider: str
    model: str
    status: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: str | None
    currency: str


class StepCompleted(TypedDict):
    """`duration` in seconds."""

    step: int
    type: str
    duration: float


class CheckpointCreated(TypedDict):
    checkpoint_id: str
    step: int


class Retrying(TypedDict):
    """A model call is made again after `delay` seconds. The step's deltas before this event are void."""

    reason: str
    message: str
    retry: int
    delay: float
    model: str


class RunSteered(TypedDict):
    """Somebody pauses or resumes the run, or it has come to rest."""

    run_id: str


class RunCompleted(TypedDict):
    run_id: str
    response: str
    metrics: Metrics


class RunFailed(TypedDict):
    run_id: str
    error: RunError
    metrics: Metrics


class RunCancelled(TypedDict):
    run_id: str
    reason: str


shape_by_type: dict[EventType, type] = {
    EventType.RUN_QUEUED: RunQueued,
    EventType.RUN_STARTED: RunStarted,
    EventType.ATTEMPT_STARTED: AttemptStarted,
    EventType.STEP_STARTED: StepStarted,
    EventType.CONTENT_DELTA: Delta,
    EventType.THOUGHT_DELTA: Delta,
    EventType.TOOL_CALL_STARTED: ToolCallStarted,
    EventType.TOOL_CALL_COMPLETED: ToolCallCompleted,
    EventType.TOOL_CALL_FAILED: ToolCallFailed,
    EventType.USAGE_RECORDED: UsageRecorded,
    EventType.STEP_COMPLETED: StepCompleted,
    EventType.CHECKPOINT_CREATED: CheckpointCreated,
    EventType.RETRYING: Retrying,
    EventType.RUN_PAUSING: RunSteered,
    EventType.RUN_PAUSED: RunSteered,
    EventType.RUN_RESUMED: RunSteered,
    EventType.RUN_COMPLETED: RunCompleted,
    EventType.RUN_FAILED: RunFailed,
    EventType.RUN_CANCELLED: RunCancelled,
}


@dataclass(slots=True)
class Event:
    """An event on its way to the journal: everything but its `seq`, which the commit gives."""

    type: str
    data: dict[str, Any]
    timestamp: datetime
    step: int = 0
    node: str = ""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A committed event. `data` is its JSON text, encoded once and sent as it is by every protocol."""

    run_id: uuid.UUID
    seq: int
    attempt: int
    step: int
    node: str
    type: str
    timestamp: datetime
    data: str

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL_EVENTS

    def envelope(self) -> str:
        """The JSON text of the whole event, as REST and WebSocket show it."""
        head = {
            "run_id": str(self.run_id),
            "seq": self.seq,
            "attempt": self.attempt,
            "step": self.step,
            "node": self.node,
            "type": self.type,
            "timestamp": self.timestamp,
        }
        return f'{orjson.dumps(head).decode()[:-1]},"data":{self.data}}}'


def rebuild_text(events: Iterable[StoredEvent]) -> str:
    """The text of the run's last model step, from its events alone: void deltas left out.

    Deltas are void when their attempt was superseded (`attempt_started`) or their model call was
    made again (`retrying`).
    """
    deltas: list[StoredEvent] = []
    for event in events:
        if event.type == EventType.CONTENT_DELTA:
            deltas.append(event)
        elif event.type == EventType.ATTEMPT_STARTED:
            valid_to = orjson.loads(event.data)["supersedes_after_seq"]
            deltas = [delta for delta in deltas if delta.seq <= valid_to]
        elif event.type == EventType.RETRYING:
            deltas = [delta for delta in deltas if (delta.step, delta.node) != (event.step, event.node)]
    last_step = deltas[-1].step if deltas else 0
    return "".join(orjson.loads(delta.data)["content"] for delta in deltas if delta.step == last_step)
