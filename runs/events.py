"""The vocabulary of a run's events: their types, the shape of each one's data, and their envelope.

Every event has `run_id`, `seq` (1, 2, 3 … per run, without holes), `attempt`, `step` (0 outside of steps),
`node` (the graph's node, may be empty), `type`, `timestamp` (UTC) and `data` (an object, shaped by its type).
"""

from __future__ import annotations

import uuid
from collections import defaultdict
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
    EVENTS_REMOVED = "events_removed"


TERMINAL_EVENTS = frozenset({EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_CANCELLED})
DELTAS = frozenset({EventType.CONTENT_DELTA, EventType.THOUGHT_DELTA})
# What says which deltas stand: see `rebuild_text`.
TEXT_EVENTS = DELTAS | {
    EventType.STEP_COMPLETED,
    EventType.RETRYING,
    EventType.ATTEMPT_STARTED,
    EventType.CHECKPOINT_CREATED,
}


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
    """`type` is `model` or `tool`; in a workflow the kind of the node, where a model's is `model`."""

    step: int
    type: str


class Delta(TypedDict):
    content: str


class ToolCallStarted(TypedDict):
    """`child_run_id` where the tool is an agent: the run that does the work."""

    tool: str
    args: dict[str, Any]
    call_id: str
    child_run_id: NotRequired[str]


class ToolCallProgress(TypedDict):
    """How far a call has come; of an agent as a tool: the status that its run is in."""

    tool: str
    call_id: str
    child_run_id: str
    status: str


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
    """`restored_from`: the run was set back to that checkpoint; what came after `supersedes_after_seq` is void."""

    checkpoint_id: str
    step: int
    restored_from: NotRequired[str]
    supersedes_after_seq: NotRequired[int]


class Retrying(TypedDict):
    """A model call is made again after `delay` seconds. The step's deltas before this event are void."""

    reason: str
    message: str
    retry: int
    delay: float
    model: str


class ApprovalRequired(TypedDict):
    """A tool call or a workflow's node waits for a person; `deadline` may be null.

    `kind` is `tool_call`, `unknown_effect` or `node`; of a node `message` is what it asks, and `tool` its id.
    """

    approval_id: str
    kind: str
    tool: str
    args: dict[str, Any]
    call_id: str
    deadline: str | None
    message: NotRequired[str]


class ApprovalResolved(TypedDict):
    """`status` is `approved`, `edited` or `rejected`; `decided_by` is empty where the deadline has decided."""

    approval_id: str
    status: str
    decided_by: str
    reason: str


class RunSteered(TypedDict):
    """Somebody pauses or resumes the run."""

    run_id: str


class RunPaused(TypedDict):
    """It has come to rest.

    With `reason` `budget_exceeded`, `limit` says which, `value` how high it is, `used` how much is used. With
    `budget_id` that is no limit of the run but a budget of its workspace, `limit` being `amount` or `tokens`; what else
    is said of it stands in BudgetWarning. With `restored`, the run was set back to a checkpoint.
    """

    run_id: str
    reason: NotRequired[str]
    limit: NotRequired[str]
    value: NotRequired[Any]
    used: NotRequired[Any]
    budget_id: NotRequired[str]
    budget: NotRequired[str]
    period: NotRequired[str]
    reserved: NotRequired[Any]
    currency: NotRequired[str | None]
    resets_at: NotRequired[str | None]


class BudgetWarning(TypedDict):
    """Most of one of the run's limits is used.

    With `budget_id` that is no limit of the run but a budget of its workspace, of which its call has reached a level:
    `level` percent. `limit` is `amount` or `tokens`; amounts are decimal strings in `currency`.
    """

    run_id: str
    limit: str
    value: Any
    used: Any
    budget_id: NotRequired[str]
    budget: NotRequired[str]
    period: NotRequired[str]
    currency: NotRequired[str | None]
    resets_at: NotRequired[str | None]
    level: NotRequired[int]
    action: NotRequired[str]


class RunWaiting(TypedDict):
    """For so many approvals, and for these runs that its tools have started."""

    run_id: str
    approvals: int
    children: list[str]


class RunCompleted(TypedDict):
    """`output` is what a workflow has come to, where that is no text."""

    run_id: str
    response: str
    output: NotRequired[Any]
    metrics: Metrics


class RunFailed(TypedDict):
    run_id: str
    error: RunError
    metrics: Metrics


class RunCancelled(TypedDict):
    run_id: str
    reason: str


class EventsRemoved(TypedDict):
    """In the place of all events up to this one, which were kept long enough; the run's last event follows."""

    run_id: str
    up_to_seq: int


shape_by_type: dict[EventType, type] = {
    EventType.RUN_QUEUED: RunQueued,
    EventType.RUN_STARTED: RunStarted,
    EventType.ATTEMPT_STARTED: AttemptStarted,
    EventType.STEP_STARTED: StepStarted,
    EventType.CONTENT_DELTA: Delta,
    EventType.THOUGHT_DELTA: Delta,
    EventType.TOOL_CALL_STARTED: ToolCallStarted,
    EventType.TOOL_CALL_PROGRESS: ToolCallProgress,
    EventType.TOOL_CALL_COMPLETED: ToolCallCompleted,
    EventType.TOOL_CALL_FAILED: ToolCallFailed,
    EventType.APPROVAL_REQUIRED: ApprovalRequired,
    EventType.APPROVAL_RESOLVED: ApprovalResolved,
    EventType.USAGE_RECORDED: UsageRecorded,
    EventType.STEP_COMPLETED: StepCompleted,
    EventType.CHECKPOINT_CREATED: CheckpointCreated,
    EventType.RETRYING: Retrying,
    EventType.RUN_PAUSING: RunSteered,
    EventType.RUN_PAUSED: RunPaused,
    EventType.RUN_WAITING: RunWaiting,
    EventType.RUN_RESUMED: RunSteered,
    EventType.BUDGET_WARNING: BudgetWarning,
    EventType.RUN_COMPLETED: RunCompleted,
    EventType.RUN_FAILED: RunFailed,
    EventType.RUN_CANCELLED: RunCancelled,
    EventType.EVENTS_REMOVED: EventsRemoved,
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


def by_run(events: Iterable[StoredEvent]) -> dict[uuid.UUID, list[StoredEvent]]:
    """The events of several runs, apart, each run's in their order."""
    found: defaultdict[uuid.UUID, list[StoredEvent]] = defaultdict(list)
    for event in events:
        found[event.run_id].append(event)
    return found


def rebuild_text(events: Iterable[StoredEvent], kind: EventType = EventType.CONTENT_DELTA) -> str:
    """The text of the run's last model step, from its events alone: void deltas left out. `kind`: or its thought.

    Deltas are void when their attempt was superseded (`attempt_started`) before their step had ended, when the run was
    set back (`checkpoint_created` with `restored_from`), and when their model call was made again (`retrying`).
    """
    deltas: list[StoredEvent] = []
    ended: dict[tuple[int, str], int] = {}
    for event in events:
        place = (event.step, event.node)
        match event.type:
            case delta if delta == kind:
                deltas.append(event)
            case EventType.STEP_COMPLETED:
                ended[place] = event.seq
            case EventType.RETRYING:
                deltas = [delta for delta in deltas if (delta.step, delta.node) != place]
            case EventType.ATTEMPT_STARTED:
                last = orjson.loads(event.data)["supersedes_after_seq"]
                deltas = [one for one in deltas if one.seq <= max(last, ended.get((one.step, one.node), 0))]
            case EventType.CHECKPOINT_CREATED if (
                last := orjson.loads(event.data).get("supersedes_after_seq")
            ) is not None:
                deltas = [delta for delta in deltas if delta.seq <= last]
                ended = {key: seq for key, seq in ended.items() if seq <= last}
    if not deltas:
        return ""
    said_last = (deltas[-1].step, deltas[-1].node)
    return "".join(
        orjson.loads(delta.data)["content"] for delta in deltas if (delta.step, delta.node) == said_last
    )
