"""Verbs of the engine: what an attempt does to its run. The journal applies them in its flush."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runs import event_log
from runs.events import Event, EventType
from runs.lifecycle.limits import exceeded
from runs.lifecycle.state import RunState, Transition, take_totals
from runs.models import AT_REST, Approval, ErrorClass, Run, Status
from runs.queueing import turns


def begin(worker_id: uuid.UUID) -> Transition:
    """A worker takes the run: a new attempt, which fences all earlier ones."""

    def apply(state: RunState, now: datetime) -> None:
        state.status, state.worker_id, state.held_back = Status.RUNNING, worker_id, False
        state.attempt += 1
        state.journal_position = 0
        state.attempt_started_at = now
        if state.started_at is None:
            state.started_at = now
            state.add_event(EventType.RUN_STARTED, now, timestamp=now.isoformat())
            return
        state.events.append(Event(EventType.ATTEMPT_STARTED, _where_it_resumes(state), now))

    return apply


def hold_back(state: RunState) -> None:
    """A worker would take the run, and its workspace has as many under way as it may have: it waits without a job."""
    state.held_back, state.job_id = True, None


def _where_it_resumes(state: RunState) -> dict[str, Any]:
    checkpoint = event_log.last_checkpoint(state.id)
    resumed_from, seq = None, 0
    if checkpoint:
        resumed_from = checkpoint.data["checkpoint_id"]
        seq = event_log.valid_until(checkpoint)
    return {"attempt": state.attempt, "resumed_from": resumed_from, "supersedes_after_seq": seq}


def finish(response: str, output: Any = None) -> Transition:
    """The run has an answer; `output` is it as JSON, where it is no text."""

    def apply(state: RunState, now: datetime) -> None:
        state.status, state.finished_at, state.response_content = Status.COMPLETED, now, response
        state.worker_id, state.output = None, output
        structured = {} if output is None else {"output": output}
        state.add_event(
            EventType.RUN_COMPLETED, now, response=response, **structured, metrics=state.metrics(now)
        )

    return apply


def fail(error_class: ErrorClass, message: str) -> Transition:
    """The run can't go on."""

    def apply(state: RunState, now: datetime) -> None:
        state.status, state.finished_at, state.worker_id = Status.FAILED, now, None
        state.error = {"class": str(error_class.value), "message": message}
        state.add_event(EventType.RUN_FAILED, now, error=state.error, metrics=state.metrics(now))

    return apply


def hand_back(reason: str) -> Transition:
    """A worker that stops puts the run back into the queue; another goes on from its last checkpoint."""

    def apply(state: RunState, now: datetime) -> None:
        queue_again(state, now, reason)

    return apply


def time_is_up() -> Transition:
    """The run's `timeout` was over in the middle of a model call; it goes on where it was raised meanwhile."""

    def apply(state: RunState, now: datetime) -> None:
        if excess := exceeded(state, now):
            come_to_rest(state, now, **excess.data)
        else:
            queue_again(state, now, "limits_raised")

    return apply


@dataclass(frozen=True, slots=True)
class Waits:
    """What a run waits for: the keys of approvals, and runs that its tools have started and that rest."""

    approvals: tuple[str, ...] = ()
    children: tuple[uuid.UUID, ...] = ()


def park(waits: Waits) -> Transition:
    """The run waits, in nobody's hands. It goes on at once where what it waits for has happened meanwhile."""

    def apply(state: RunState, now: datetime) -> None:
        if state.status == Status.PAUSING:
            come_to_rest(state, now)
        elif _has_happened(state, waits):
            queue_again(state, now, "answered")
        else:
            state.status, state.worker_id = Status.WAITING, None
            if waits.children:
                take_totals(state)
            state.add_event(
                EventType.RUN_WAITING,
                now,
                approvals=len(waits.approvals),
                children=[str(child) for child in waits.children],
            )

    return apply


def _has_happened(state: RunState, waits: Waits) -> bool:
    """Deciding takes the run's lock, and a child's news comes as a job that takes it: none gets lost in between."""
    decided = Approval.objects.filter(run_id=state.id, key__in=waits.approvals, status__in=Approval.DECIDED)
    # One that was never started, because its parent was to pause, does not rest either.
    resting = Run.objects.filter(pk__in=waits.children, status__in=AT_REST)
    moved = waits.children and resting.count() < len(set(waits.children))
    return bool((waits.approvals and decided.exists()) or moved)


def come_to_rest(state: RunState, now: datetime, **why: Any) -> None:
    """A run that was to pause has come to a safe point: it is in nobody's hands until it is resumed."""
    state.status, state.worker_id = Status.PAUSED, None
    state.add_event(EventType.RUN_PAUSED, now, **why)


def queue_again(state: RunState, now: datetime, reason: str) -> None:
    """Keeps queue name and priority. The run holds its session already, so its turn is now.

    One that was to pause rests where its last checkpoint is.
    """
    if state.status == Status.PAUSING:
        come_to_rest(state, now)
        return
    state.status, state.queued_at, state.worker_id = Status.QUEUED, now, None
    state.held_back = False
    state.job_id = turns.wake(state.id, state.queue, state.priority)
    state.add_event(EventType.RUN_QUEUED, now, reason=reason)
