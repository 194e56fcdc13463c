"""The only writer of a run's status.

Each verb locks the run, decides from what it finds, and writes the row, the event and the queue's job in
one transaction. Verbs of people and clients (`start`, `cancel`, `retry`) open their own; those of the
engine (`begin`, `finish`, `fail`, `hand_back`) are `Transition`s that the journal applies in its flush, so that
the last event, the last checkpoint and the status commit together.

    created → queued → running → completed | failed
                 ↑________|  (hand_back, requeue: a new attempt follows)
    running → pausing → paused → queued (resume: a new attempt follows)
    queued → paused, and pausing → running where it is resumed before it has paused
    every state that is not terminal → cancelled
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from agentplatform.lib import bulk, queue
from agentplatform.lib.errors import Conflict, NotFound
from billing import ledger
from runs import event_log, turns
from runs.events import Event, EventType, StoredEvent
from runs.models import IN_FLIGHT, TERMINAL, ErrorClass, Run, Status

# A run that has lost so many workers is more likely their killer than their victim.
MAX_LOSSES = 3


@dataclass(slots=True)
class RunState:
    """A locked run, as far as verbs and the journal decide by it; they change it, `write` stores it."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    session_id: uuid.UUID | None
    status: str
    attempt: int
    last_seq: int
    journal_position: int
    job_id: int | None
    queue: str
    priority: int
    losses: int
    total_steps: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_calls: int
    started_at: datetime | None
    worker_id: uuid.UUID | None
    response_content: str | None = None
    error: dict[str, Any] | None = None
    finished_at: datetime | None = None
    queued_at: datetime | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def metrics(self, now: datetime) -> dict[str, Any]:
        """Tokens, steps, seconds and cost so far; the cost is null while one of its calls has no price."""
        started = self.started_at or now
        return {
            "total_tokens": self.input_tokens + self.output_tokens,
            "total_steps": self.total_steps,
            "duration": round((now - started).total_seconds(), 3),
            "cost": None if self.unpriced_calls else f"{self.cost.normalize():f}",
        }


Transition = Callable[[RunState, datetime], None]
_LOCKED_FIELDS = (
    "id", "workspace_id", "session_id", "status", "attempt", "last_seq", "journal_position", "job_id", "queue",
    "priority", "losses", "total_steps", "input_tokens", "output_tokens", "cost", "unpriced_calls", "started_at",
    "worker_id",
)  # fmt: skip


def lock(ids: Iterable[uuid.UUID], *, skip_locked: bool = False) -> dict[uuid.UUID, RunState]:
    """The runs, locked in order of id. With `skip_locked` those in other hands are left out."""
    rows = (
        Run.objects.select_for_update(no_key=True, skip_locked=skip_locked)
        .filter(pk__in=list(ids))
        .order_by("pk")
        .values_list(*_LOCKED_FIELDS)
    )
    return {row[0]: RunState(*row) for row in rows}


def write(
    states: Sequence[RunState], now: datetime, before: Iterable[bulk.Statement] = ()
) -> dict[uuid.UUID, list[StoredEvent]]:
    """Stores changed runs, numbers and stores their events, and hands a session on whose run has ended.

    One round trip, which takes the statements `before` along. The caller holds the runs' locks and
    publishes the answer after the commit.
    """
    stored = {state.id: event_log.number(state, state.events) for state in states}
    events = [event for batch in stored.values() for event in batch]
    bulk.execute([*before, *_update(states, now), *event_log.insertion(events)])
    for state in states:
        if state.is_terminal and state.session_id:
            turns.hand_on(state.session_id, now)
    return stored


# --- verbs of people and clients -------------------------------------------------------------


def start(run: Run, *, queued: bool = True) -> list[StoredEvent]:
    """Inserts a new run and, when it is `queued` and its session's turn, the job that wakes a worker.

    `run` is unsaved and complete but for its state. Answers the events that it wrote.
    """
    now = timezone.now()
    run.created_at = run.updated_at = now
    run.status = Status.QUEUED if queued else Status.CREATED
    run.queued_at = now if queued else None
    event = StoredEvent(run.id, 1, 0, 0, "", EventType.RUN_QUEUED, now, f'{{"run_id":"{run.id}"}}')
    with transaction.atomic(savepoint=False):
        if queued:
            run.last_seq = 1
            run.job_id = turns.wake_on_turn(run.id, run.session_id, run.queue, run.priority)
        run.save(force_insert=True)
        bulk.execute(event_log.insertion([event] if queued else []))
    return [event] if queued else []


def enqueue(run_id: uuid.UUID) -> list[StoredEvent]:
    """Starts a run that was only created. Raises Conflict when it has been started before."""
    with _changing(run_id) as (state, now, stored):
        if state.status != Status.CREATED:
            message = f"Only a run that is 'created' can be started; this one is {state.status!r}."
            raise Conflict(message, details={"status": state.status})
        state.status, state.queued_at = Status.QUEUED, now
        state.job_id = turns.wake_on_turn(state.id, state.session_id, state.queue, state.priority)
        state.events.append(Event(EventType.RUN_QUEUED, {"run_id": str(state.id)}, now))
    return stored


def cancel(run_id: uuid.UUID, reason: str = "") -> list[StoredEvent]:
    """Ends a run now, whatever it is doing, and stops its worker. Cancelling a cancelled run changes nothing.

    The run is fenced by its terminal status at once; the worker is told by the queue and, should that
    fail, by its next journal write. Raises Conflict when the run has completed or failed.
    """
    with _changing(run_id) as (state, now, stored):
        if state.status == Status.CANCELLED:
            return []
        if state.is_terminal:
            raise _impossible("cancelled", state.status)
        if state.job_id is not None:
            queue.abort(state.job_id)
        state.status, state.finished_at = Status.CANCELLED, now
        state.events.append(Event(EventType.RUN_CANCELLED, {"run_id": str(state.id), "reason": reason}, now))
    return stored


def pause(run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Stops a run at its next safe point; one that no worker has begun stops at once. Answers its status now.

    A safe point lies before each model call and before the tool calls of a step: the journal pauses a run that
    is `pausing` in place of committing that such an effect is about to happen. Pausing it again changes nothing.
    Raises Conflict when the run has not been started or has ended.
    """
    with _changing(run_id) as (state, now, stored):
        match state.status:
            case Status.PAUSING | Status.PAUSED:
                pass
            case Status.RUNNING:
                state.status = Status.PAUSING
                state.events.append(Event(EventType.RUN_PAUSING, {"run_id": str(state.id)}, now))
            case Status.QUEUED:
                if state.job_id is not None:
                    queue.abort(state.job_id)
                    state.job_id = None
                come_to_rest(state, now)
            case other:
                raise _impossible("paused", other)
    return Status(state.status), stored


def resume(run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Lets a paused run go on from its last checkpoint, on any worker. Answers its status now.

    One that is still `pausing` just goes on; one that is queued or running is left alone. Raises Conflict when
    the run has not been started, waits for a person, or has ended.
    """
    with _changing(run_id) as (state, now, stored):
        match state.status:
            case Status.QUEUED | Status.RUNNING:
                pass
            case Status.PAUSING:
                state.status = Status.RUNNING
                state.events.append(Event(EventType.RUN_RESUMED, {"run_id": str(state.id)}, now))
            case Status.PAUSED:
                state.status, state.queued_at = Status.QUEUED, now
                state.job_id = _wake_resumed(state)
                state.events.append(Event(EventType.RUN_RESUMED, {"run_id": str(state.id)}, now))
            case other:
                raise _impossible("resumed", other)
    return Status(state.status), stored


def _impossible(verb: str, status: str) -> Conflict:
    return Conflict(f"A run that is {status!r} can't be {verb}.", details={"status": status})


# --- verbs of the engine -----------------------------------------------------------------------


def begin(worker_id: uuid.UUID) -> Transition:
    """A worker takes the run: a new attempt, which fences all earlier ones."""

    def apply(state: RunState, now: datetime) -> None:
        state.status, state.worker_id = Status.RUNNING, worker_id
        state.attempt += 1
        state.journal_position = 0
        if state.started_at is None:
            state.started_at = now
            data: dict[str, Any] = {"run_id": str(state.id), "timestamp": now.isoformat()}
            state.events.append(Event(EventType.RUN_STARTED, data, now))
            return
        checkpoint = event_log.last_checkpoint(state.id)
        data = {
            "attempt": state.attempt,
            "resumed_from": checkpoint.data["checkpoint_id"] if checkpoint else None,
            "supersedes_after_seq": checkpoint.seq if checkpoint else 0,
        }
        state.events.append(Event(EventType.ATTEMPT_STARTED, data, now))

    return apply


def finish(response: str) -> Transition:
    """The run has an answer."""

    def apply(state: RunState, now: datetime) -> None:
        state.status, state.finished_at, state.response_content = Status.COMPLETED, now, response
        state.worker_id = None
        data = {"run_id": str(state.id), "response": response, "metrics": state.metrics(now)}
        state.events.append(Event(EventType.RUN_COMPLETED, data, now))

    return apply


def fail(error_class: ErrorClass, message: str) -> Transition:
    """The run can't go on."""

    def apply(state: RunState, now: datetime) -> None:
        state.status, state.finished_at, state.worker_id = Status.FAILED, now, None
        state.error = {"class": str(error_class.value), "message": message}
        data = {"run_id": str(state.id), "error": state.error, "metrics": state.metrics(now)}
        state.events.append(Event(EventType.RUN_FAILED, data, now))

    return apply


def hand_back(reason: str) -> Transition:
    """A worker that stops puts the run back into the queue; another goes on from its last checkpoint."""

    def apply(state: RunState, now: datetime) -> None:
        _queue_again(state, now, reason)

    return apply


def come_to_rest(state: RunState, now: datetime) -> None:
    """A run that was to pause has come to a safe point: it is in nobody's hands until it is resumed."""
    state.status, state.worker_id = Status.PAUSED, None
    state.events.append(Event(EventType.RUN_PAUSED, {"run_id": str(state.id)}, now))


def requeue_lost(run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[StoredEvent]]:
    """Takes runs out of the hands of lost workers: back into the queue, or failed when it has lost too many.

    What their model calls had left open is settled. Harmless when the worker lives after all: the next
    attempt fences it, and the first settlement of a call counts.
    """
    now = timezone.now()
    with transaction.atomic():
        states = list(lock(run_ids, skip_locked=True).values())
        queue.forget(state.job_id for state in states if state.job_id is not None)
        for state in states:
            state.worker_id = None
            if state.status in IN_FLIGHT:
                _lose_worker(state, now)
        ledger.settle_open([state.id for state in states], now, {})
        count_usage(states)
        return write(states, now)


def _lose_worker(state: RunState, now: datetime) -> None:
    state.losses += state.status != Status.QUEUED
    if state.losses >= MAX_LOSSES:
        fail(ErrorClass.WORKER_LOST, f"The run has lost {state.losses} workers and is not tried again.")(
            state, now
        )
    else:
        _queue_again(state, now, "worker_lost")


# --- what the verbs share ------------------------------------------------------------------------


@contextmanager
def _changing(run_id: uuid.UUID) -> Iterator[tuple[RunState, datetime, list[StoredEvent]]]:
    """One locked run to change, the time, and the list that holds the stored events afterwards."""
    now = timezone.now()
    stored: list[StoredEvent] = []
    with transaction.atomic():
        state = lock([run_id]).get(run_id)
        if state is None:
            raise NotFound("Run", run_id)
        yield state, now, stored
        if state.events:
            stored.extend(write([state], now)[run_id])


def count_usage(states: Iterable[RunState]) -> None:
    """Takes the runs' totals from the ledger: for money that came by another way than the attempt's own entries."""
    by_id = {state.id: state for state in states}
    for run_id, totals in ledger.totals_of_runs(by_id).items():
        state = by_id[run_id]
        state.input_tokens, state.output_tokens = totals.input_tokens, totals.output_tokens
        state.cost, state.unpriced_calls = totals.cost, totals.unpriced_calls


def _wake_resumed(state: RunState) -> int | None:
    """The job of a resumed run. One that has begun holds its session already; another may have to wait for it."""
    if state.started_at is None:
        return turns.wake_unless_held(state.id, state.session_id, state.queue, state.priority)
    return turns.wake(state.id, state.queue, state.priority)


def _queue_again(state: RunState, now: datetime, reason: str) -> None:
    """Keeps queue name and priority. The run holds its session already, so its turn is now.

    One that was to pause rests where its last checkpoint is.
    """
    if state.status == Status.PAUSING:
        come_to_rest(state, now)
        return
    state.status, state.queued_at, state.worker_id = Status.QUEUED, now, None
    state.job_id = turns.wake(state.id, state.queue, state.priority)
    state.events.append(Event(EventType.RUN_QUEUED, {"run_id": str(state.id), "reason": reason}, now))


_WRITTEN = {
    "status": "text", "attempt": "int", "last_seq": "bigint", "journal_position": "bigint", "job_id": "bigint",
    "losses": "smallint", "total_steps": "int", "input_tokens": "bigint", "output_tokens": "bigint", "cost": "numeric",
    "unpriced_calls": "int", "started_at": "timestamptz", "worker_id": "uuid",
}  # fmt: skip
# Written once, by the verb that knows them; null leaves what is there.
_WRITTEN_ONCE = {
    "response_content": "text",
    "error": "jsonb",
    "finished_at": "timestamptz",
    "queued_at": "timestamptz",
}
_UPDATE = """
UPDATE runs_run AS run SET {changes}, updated_at = %s
FROM jsonb_to_recordset(%s::jsonb) AS new(id uuid, {record})
WHERE run.id = new.id
""".format(
    changes=", ".join(
        [f"{name} = new.{name}" for name in _WRITTEN]
        + [f"{name} = COALESCE(new.{name}, run.{name})" for name in _WRITTEN_ONCE]
    ),
    record=", ".join(f"{name} {kind}" for name, kind in {**_WRITTEN, **_WRITTEN_ONCE}.items()),
)


def _update(states: Sequence[RunState], now: datetime) -> list[bulk.Statement]:
    """All changed runs in one statement."""
    rows = [
        {"id": state.id, **{name: getattr(state, name) for name in (*_WRITTEN, *_WRITTEN_ONCE)}}
        for state in states
    ]
    return [bulk.Statement(_UPDATE, (now, bulk.dumps(rows)))] if rows else []
