"""Verbs of people and clients. Who may is settled in `runs.commands`; here, whether the run's state allows it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from agentplatform.lib import bulk, queue
from agentplatform.lib.errors import Conflict
from agentplatform.lib.telemetry import tracing
from billing.budgets import holds
from runs import event_log
from runs.events import EventType, StoredEvent
from runs.lifecycle.attempts import come_to_rest
from runs.lifecycle.families import active_below
from runs.lifecycle.limits import exceeded
from runs.lifecycle.said import keep_what_was_said
from runs.lifecycle.state import RunState, changing, lock, lock_family, take_totals, write
from runs.models import AT_REST, IN_FLIGHT, Approval, Run, Status
from runs.queueing import turns

# Children take no place in a worker's queue, so something else has to bound them.
MOST_BELOW = 50


def start(run: Run, *, queued: bool = True, told: Sequence[bulk.Statement] = ()) -> list[StoredEvent]:
    """Inserts a new run and, when it is `queued` and its session's turn, the job that wakes a worker.

    `run` is unsaved and complete but for its state. One that is queued follows its session's last turn, and the caller
    makes it the last one itself. `told` travels along. Answers the events that it wrote.
    """
    with transaction.atomic(savepoint=False):
        if not queued:
            return _insert(run, timezone.now(), Status.CREATED, None, told)
        place = turns.place(run.id, run.session_id, run.queue, run.priority)
        run.previous_id = place.previous_id
        return _insert(run, timezone.now(), Status.QUEUED, place.job_id, told)


def start_child(parent_id: uuid.UUID, attempt: int, run: Run) -> list[StoredEvent] | None:
    """Inserts a run that a tool of another run has asked for. The limits of the runs above it hold for it too.

    Without a job: the parent's worker executes it beside its parent. None where the parent's attempt is not
    under way any more, or is about to pause: then nothing is started.
    """
    now = timezone.now()
    with transaction.atomic():
        parent = lock([parent_id]).get(parent_id)
        if parent is None or parent.attempt != attempt or parent.status != Status.RUNNING:
            return None
        if len(active_below(parent_id)) >= MOST_BELOW:
            raise Conflict(f"{MOST_BELOW} runs that it has started are under way already.")
        parent.has_children = True
        write([parent], now)
        return _insert(run, now, Status.QUEUED, None)


def _insert(
    run: Run, now: datetime, status: Status, job_id: int | None, told: Sequence[bulk.Statement] = ()
) -> list[StoredEvent]:
    run.created_at = run.updated_at = now
    run.request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    run.traceparent = tracing.traceparent()
    run.status, run.job_id = status, job_id
    is_queued = status == Status.QUEUED
    run.queued_at = now if is_queued else None
    run.last_seq = int(is_queued)
    event = StoredEvent(run.id, 1, 0, 0, "", EventType.RUN_QUEUED, now, f'{{"run_id":"{run.id}"}}')
    events = [event] if is_queued else []
    run.save(force_insert=True)
    bulk.execute([*event_log.insertion(events), *told])
    return events


def enqueue(run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Starts a run that was only created. Answers its status now.

    One that is queued or running is left alone. Raises Conflict when it rests or has ended.
    """
    with changing(run_id) as change:
        run = change.run
        if run.status == Status.CREATED:
            run.status, run.queued_at = Status.QUEUED, change.now
            place = turns.place(run.id, run.session_id, run.queue, run.priority)
            run.job_id = place.job_id
            turns.join(run.id, run.session_id, place)
            run.add_event(EventType.RUN_QUEUED, change.now)
        elif run.status not in IN_FLIGHT:
            raise _impossible("started", run.status)
    return Status(run.status), change.stored


def cancel(run_id: uuid.UUID, reason: str = "") -> list[StoredEvent]:
    """Ends a run now, whatever it is doing, and stops its worker. Cancelling a cancelled run changes nothing.

    The run is fenced by its terminal status at once; the worker is told by the queue and, should that
    fail, by its next journal write. Raises Conflict when the run has completed or failed.
    """
    with changing(run_id) as change:
        if change.run.status == Status.CANCELLED:
            return []
        if change.run.is_terminal:
            raise _impossible("cancelled", change.run.status)
        end_cancelled(change.run, change.now, reason)
        for child in change.below:
            end_cancelled(child, change.now, reason)
    return change.stored


def cancel_all(run_ids: Iterable[uuid.UUID], reason: str) -> dict[uuid.UUID, list[StoredEvent]]:
    """Ends those of the runs that have not ended, and the runs below them. Answers their events, by run.

    For a caller that goes on in the same transaction, and may take it back to a savepoint: all runs are locked at
    once, before any session.
    """
    now = timezone.now()
    # Whoever waits for a row that was locked under a savepoint since released waits for the whole transaction, even
    # when an outer savepoint has let the row go.
    with transaction.atomic(savepoint=False):
        families = [lock_family(run_id) for run_id in sorted(run_ids)]
        locked = [state for run, below in families for state in (run, *below) if state]
        states = [state for state in locked if not state.is_terminal]
        for state in states:
            end_cancelled(state, now, reason)
        return write(states, now)


def end_cancelled(state: RunState, now: datetime, reason: str) -> None:
    """What cancelling does to one run that has not ended."""
    # The job stays known: it is its worker's, who may be lost, until that is over.
    if state.job_id is not None:
        queue.abort(state.job_id)
    state.held_back = False
    keep_what_was_said(state, now)
    state.status, state.finished_at = Status.CANCELLED, now
    Approval.objects.filter(run_id=state.id, status=Approval.Status.PENDING).update(
        status=Approval.Status.CANCELLED, decided_at=now
    )
    state.add_event(EventType.RUN_CANCELLED, now, reason=reason)


def pause(run_id: uuid.UUID) -> tuple[Status, list[StoredEvent]]:
    """Stops a run at its next safe point; one that is in nobody's hands stops at once. Answers its status now.

    A safe point lies before each model call and before the tool calls of a step: the journal pauses a run that
    is `pausing` in place of committing that such an effect is about to happen. Pausing it again changes nothing.
    Raises Conflict when the run has not been started or has ended.
    """
    with changing(run_id) as change:
        if change.run.status == Status.CREATED or change.run.is_terminal:
            raise _impossible("paused", change.run.status)
        # One that rests for a budget does not go on by itself any more.
        holds.release([change.run.id, *(child.id for child in change.below)])
        for state in (change.run, *change.below):
            _pause_one(state, change.now)
    return Status(change.run.status), change.stored


def _pause_one(state: RunState, now: datetime) -> None:
    if state.status == Status.RUNNING:
        state.status = Status.PAUSING
        state.add_event(EventType.RUN_PAUSING, now)
    elif state.status in (Status.QUEUED, Status.WAITING):
        _take_job(state)
        come_to_rest(state, now)


def resume(run_id: uuid.UUID, limits: Mapping[str, Any] | None = None) -> tuple[Status, list[StoredEvent]]:
    """Lets a paused run go on from its last checkpoint, on any worker. Answers its status now.

    `limits` go over the run's own. One that is still `pausing` just goes on; one that is queued or running is
    left alone but for its limits. Raises Conflict when the run has not been started, waits for a person, has
    ended, or has used up a limit that was not raised, and where a budget that it rests for has no room yet.
    """
    with changing(run_id) as change:
        run = change.run
        resting = [child for child in change.below if child.status in (Status.PAUSED, Status.PAUSING)]
        if run.status == Status.CREATED or run.is_terminal or (run.status == Status.WAITING and not resting):
            raise _impossible("resumed", run.status)
        if limits:
            run.limits = {**run.limits, **limits}
        if run.has_children:
            take_totals(run)
        if run.status in (*AT_REST, Status.PAUSING) and (excess := exceeded(run, change.now)):
            used = f"The run has used {excess.used} of its {excess.limit} {excess.value}."
            details = {"status": run.status, **excess.data}
            raise Conflict(f"{used} {excess.remedy}", details=details)
        going_on = [run.id, *(child.id for child in resting)]
        for run_id in going_on:
            if shortfall := holds.obstacle(run_id, change.now):
                details = {"status": run.status, **shortfall.data}
                raise Conflict(f"{shortfall.message} Or raise it, and resume the run.", details=details)
        holds.release(going_on)
        for child in resting:
            _resume_one(child, change.now)
        _resume_one(run, change.now)
        if limits and not run.events:
            write([run], change.now)
    return Status(run.status), change.stored


def _resume_one(state: RunState, now: datetime) -> None:
    if state.status == Status.PAUSING:
        state.status = Status.RUNNING
        state.add_event(EventType.RUN_RESUMED, now)
    elif state.status == Status.PAUSED:
        state.status, state.queued_at = Status.QUEUED, now
        state.job_id = _wake_resumed(state)
        state.add_event(EventType.RUN_RESUMED, now)


def proceed(state: RunState, now: datetime) -> None:
    """What a waiting run waits for has happened: it goes on. A run in any other state is left alone."""
    if state.status != Status.WAITING:
        return
    state.status, state.queued_at = Status.QUEUED, now
    state.job_id = turns.wake(state.id, state.queue, state.priority)
    state.add_event(EventType.RUN_RESUMED, now)


def _take_job(state: RunState) -> None:
    """Nobody is to be woken for the run any more; whoever works on it is told to stop."""
    state.held_back = False
    if state.job_id is not None:
        queue.abort(state.job_id)
        state.job_id = None


def _wake_resumed(state: RunState) -> int | None:
    """The job of a resumed run. One that has begun holds its session already; another may have to wait for it."""
    if state.started_at is None:
        return turns.wake_unless_held(state.id, state.session_id, state.queue, state.priority)
    return turns.wake(state.id, state.queue, state.priority)


def _impossible(verb: str, status: str) -> Conflict:
    return Conflict(f"A run that is {status!r} can't be {verb}.", details={"status": status})
