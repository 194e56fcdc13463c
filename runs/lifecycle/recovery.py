"""What nobody asked for: a worker was lost, or something has happened in a run's family."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from agentplatform.lib import queue
from billing import ledger
from billing.models import UsageRecord
from runs.events import StoredEvent
from runs.lifecycle.attempts import fail, queue_again
from runs.lifecycle.families import above
from runs.lifecycle.people import end_cancelled, proceed
from runs.lifecycle.state import (
    RunState,
    count_usage,
    lock,
    lock_family,
    take_totals,
    tell_parents,
    write,
)
from runs.models import AT_REST, IN_FLIGHT, TERMINAL, Approval, ErrorClass, Relation, Run, Status
from runs.queueing import turns

logger = structlog.get_logger(__name__)

# A run that has lost so many workers is more likely their killer than their victim.
MAX_LOSSES = 3


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
        tell_parents(count_usage(states))
        return write(states, now)


def settle_forgotten() -> bool:
    """Settles model calls that keep room of budgets though they can't be under way any more, and counts them for their
    runs; whether there may be more. Each by itself: one that can't be settled keeps no other from it.
    """
    now = timezone.now()
    found = ledger.forgotten_with_reservations(now)
    settled = [_settle(call, now) for call in found]
    return len(found) == ledger.BATCH and any(settled)


def _settle(call: UsageRecord, now: datetime) -> bool:
    try:
        with transaction.atomic():
            states = lock([call.run_id]) if call.run_id else {}
            ledger.settle_unknown([call], now)
            changed = count_usage(states.values())
            tell_parents(changed)
            write(changed, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("call_not_settled", call_id=str(call.call_id))
        return False
    return True


def _lose_worker(state: RunState, now: datetime) -> None:
    state.losses += state.status != Status.QUEUED
    if state.losses >= MAX_LOSSES:
        fail(ErrorClass.WORKER_LOST, f"The run has lost {state.losses} workers and is not tried again.")(
            state, now
        )
    else:
        queue_again(state, now, "worker_lost")


def tend(run_id: uuid.UUID) -> list[StoredEvent]:
    """Something has happened among a run's children: takes their totals, and wakes the run if it waits.

    The children of a run that has ended are cancelled. Whatever wakes a run in vain makes it wait again.
    """
    now = timezone.now()
    with transaction.atomic():
        run, below = lock_family(run_id)
        if run is None:
            return []
        if take_totals(run) and run.is_child:
            assert run.parent_id
            turns.tend_later(run.parent_id)
        if run.is_terminal:
            for child in below:
                end_cancelled(child, now, "The run that had started it has ended.")
        else:
            proceed(run, now)
        stored = write([run, *(child for child in below if child.events)], now)
    return [event for events in stored.values() for event in events]


def neglected(most: int) -> list[uuid.UUID]:
    """Runs whose `tend` was lost with its worker: they wait for children of which none rests, or left some behind."""
    asked = Approval.objects.filter(run_id=OuterRef("pk"), status=Approval.Status.PENDING)
    resting = Run.objects.filter(parent_id=OuterRef("pk"), relation=Relation.CHILD, status__in=AT_REST)
    waiting = Run.objects.filter(status=Status.WAITING, has_children=True).exclude(Exists(asked))
    left_behind = Run.objects.filter(
        relation=Relation.CHILD, status__in=IN_FLIGHT, parent__status__in=TERMINAL
    )
    found = [
        *waiting.exclude(Exists(resting)).values_list("pk", flat=True)[:most],
        *left_behind.values_list("parent_id", flat=True)[:most],
    ]
    return list(dict.fromkeys(found))


@contextmanager
def recounting(run_ids: Sequence[uuid.UUID]) -> Iterator[None]:
    """Around corrections of runs in the ledger, in their transaction: takes the totals of these runs from it, and those
    of the runs above them from theirs.

    The runs are locked before the corrections are written, as in every flush: what they lock comes second.
    """
    now = timezone.now()
    children = Run.objects.filter(pk__in=run_ids, relation=Relation.CHILD).values_list("pk", flat=True)
    ancestors = {ancestor for child in children for ancestor in above(child)}
    states = lock({*run_ids, *ancestors})
    yield
    write(count_usage(states[run_id] for run_id in run_ids if run_id in states), now)
    write([states[run_id] for run_id in ancestors & states.keys() if take_totals(states[run_id])], now)


def roll_up(run_id: uuid.UUID) -> None:
    """Takes the totals of the runs that a run's tools have started, before it goes on from one of them."""
    with transaction.atomic():
        if run := lock([run_id]).get(run_id):
            take_totals(run)
            write([run], timezone.now())
