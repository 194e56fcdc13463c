"""Runs that nothing will move on: their wake-up is lost, or the worker that has them in hand is.

The sweep of any live worker takes them up within seconds (`runs.engine.heartbeat`); people can do it by hand.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib import queue
from agentplatform.lib.errors import Invalid
from runs import lifecycle
from runs.events import StoredEvent
from runs.models import TERMINAL, UNDER_WAY, Run, Status, Worker

# A job that a worker has taken becomes a running run at once, unless the worker has died in between.
FORGOTTEN_SECONDS = 4
MOST_AT_ONCE = 200
# Why a run is left as it is.
reason_by_status = {
    Status.CREATED: "It has not been started.",
    Status.QUEUED: "It waits for a worker.",
    Status.RUNNING: "A live worker has it in hand.",
    Status.PAUSING: "A live worker has it in hand, and pauses it.",
    Status.PAUSED: "It rests until somebody resumes it.",
    Status.WAITING: "It waits for a person's decision.",
}
ENDED = "It has ended."
HELD_BACK = "Its workspace has as many runs under way as it may have."
BEHIND_IN_SESSION = "It waits for another run of its session."
BUSY = "Something else is being done to it at this moment."


@dataclass(frozen=True, slots=True)
class Left:
    """A run that was left as it is, and why."""

    run_id: uuid.UUID
    status: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """The runs that were put back into the queue, the others, and the events of both."""

    requeued: list[uuid.UUID] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    events: list[StoredEvent] = field(default_factory=list)


def is_in_lost_hands() -> Q:
    """In the hands of a worker whose pulse has stopped."""
    living = Exists(Worker.objects.alive().filter(pk=OuterRef("worker_id")))
    return Q(~living, worker_id__isnull=False)


def is_forgotten() -> Q:
    """Queued, and its job is gone or was taken by a worker that has not begun the run."""
    awake = Exists(queue.jobs_that_wake(OuterRef("job_id"), FORGOTTEN_SECONDS))
    return Q(~awake, status=Status.QUEUED, job_id__isnull=False)


def is_stuck() -> Q:
    """Either of them, and not at an end."""
    return is_forgotten() | Q(is_in_lost_hands(), status__in=UNDER_WAY)


def requeue(actor: Actor, run_ids: Sequence[uuid.UUID] | None = None) -> Outcome:
    """Puts stuck runs of the actor's workspace back into the queue: these, or as many as MOST_AT_ONCE of all.

    What is not stuck is left, so a repeat changes nothing. A run that was to pause rests, and one that has lost too
    many workers fails; both are among those left. Raises PermissionDenied and, for an id that is no run's, Invalid.
    """
    actor.require("control:queue")
    runs = Run.objects.filter(workspace_id=actor.workspace_id)
    with transaction.atomic():
        chosen = _stuck_of(runs) if run_ids is None else _known(runs, run_ids)
        # Locked before they are looked at: nobody begins, ends or requeues one of them meanwhile.
        locked = lifecycle.lock(chosen, skip_locked=True)
        stuck = list(runs.filter(is_stuck(), pk__in=list(locked)).values_list("pk", flat=True))
        events = lifecycle.requeue_lost(stuck) if stuck else {}
        for run_id in stuck:
            audit.record(Action.RUN_REQUEUED, audit.Thing("Run", run_id), actor=actor)
        outcome = _told(chosen, locked.keys(), stuck)
    outcome.events = [event for batch in events.values() for event in batch]
    return outcome


def _stuck_of(runs: QuerySet[Any]) -> list[uuid.UUID]:
    """As many as are taken at once, whichever: to find the oldest, the database would have to look at all."""
    return sorted(runs.filter(is_stuck()).order_by().values_list("pk", flat=True)[:MOST_AT_ONCE])


def _known(runs: QuerySet[Any], run_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """The ids, each once. Raises Invalid for one that names no run of the workspace."""
    known = set(runs.filter(pk__in=run_ids).values_list("pk", flat=True))
    for index, run_id in enumerate(run_ids):
        if run_id not in known:
            raise Invalid(
                {f"run_ids.{index}": f"There is no run '{run_id}' in this workspace; leave it out."}
            )
    return list(dict.fromkeys(run_ids))


def _told(chosen: list[uuid.UUID], locked: Collection[uuid.UUID], stuck: list[uuid.UUID]) -> Outcome:
    """What has become of each of the `chosen`, in their order."""
    outcome = Outcome()
    found = Run.objects.only("status", "held_back", "job_id", "session_id").in_bulk(chosen)
    for run in (found[run_id] for run_id in chosen if run_id in found):
        if run.pk in stuck and run.status == Status.QUEUED:
            outcome.requeued.append(run.pk)
        else:
            reason = _reason(run) if run.pk in locked else BUSY
            outcome.left.append(Left(run.pk, run.status, reason))
    return outcome


def _reason(run: Run) -> str:
    if run.status in TERMINAL:
        return ENDED
    if run.status == Status.QUEUED and run.held_back:
        return HELD_BACK
    if run.status == Status.QUEUED and run.job_id is None and run.session_id:
        return BEHIND_IN_SESSION
    return reason_by_status[Status(run.status)]
