"""A locked run, as verbs and the journal see it, and the one way in which its changes are stored."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from agentplatform.lib import bulk
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import NotFound
from billing import ledger
from billing.budgets import holds
from runs import event_log
from runs.events import Event, EventType, StoredEvent
from runs.lifecycle.families import active_below, used_below
from runs.models import AT_REST, TERMINAL, UNDER_WAY, FamilyTotals, Relation, Run
from runs.queueing import admission, turns
from runs.webhooks import outbox


@dataclass(slots=True)
class RunState(FamilyTotals):
    """A locked run, as far as verbs and the journal decide by it; they change it, `write` stores it."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    session_id: uuid.UUID | None
    parent_id: uuid.UUID | None
    relation: str
    status: str
    attempt: int
    last_seq: int
    journal_position: int
    job_id: int | None
    held_back: bool
    queue: str
    priority: int
    losses: int
    limits: dict[str, Any]
    total_steps: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_calls: int
    has_children: bool
    child_input_tokens: int
    child_output_tokens: int
    child_cost: Decimal
    child_unpriced_calls: int
    started_at: datetime | None
    active_seconds: float
    attempt_started_at: datetime | None
    worker_id: uuid.UUID | None
    response_content: str | None = None
    output: Any = None
    error: dict[str, Any] | None = None
    finished_at: datetime | None = None
    queued_at: datetime | None = None
    events: list[Event] = field(default_factory=list)
    was: str = field(init=False)
    """The status that it was locked in."""

    def __post_init__(self) -> None:
        self.was = self.status

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def leaves_hands(self) -> bool:
        """Whether a worker had it in hand when it was locked, and has not any more."""
        return self.was in UNDER_WAY and self.status not in UNDER_WAY

    @property
    def ends(self) -> bool:
        """Whether this change is its end."""
        return self.is_terminal and self.was not in TERMINAL

    @property
    def is_child(self) -> bool:
        """Whether another run's tool has started it."""
        return self.relation == Relation.CHILD and self.parent_id is not None

    def metrics(self, now: datetime) -> dict[str, Any]:
        """Tokens, steps, seconds and cost so far; the cost is null while one of its calls has no price."""
        started = self.started_at or now
        return {
            "total_tokens": self.total_tokens,
            "total_steps": self.total_steps,
            "duration": round((now - started).total_seconds(), 3),
            "cost": None if self.has_unpriced_calls else plain(self.total_cost),
        }

    def seconds_in_hand(self, now: datetime) -> float:
        """How long workers have had it in hand, the attempt under way included."""
        current = (now - self.attempt_started_at).total_seconds() if self.attempt_started_at else 0.0
        return self.active_seconds + max(0.0, current)

    def add_event(self, kind: EventType, now: datetime, **data: Any) -> None:
        """An event of the run as a whole; `run_id` stands in all of them."""
        self.events.append(Event(kind, {"run_id": str(self.id), **data}, now))


Transition = Callable[[RunState, datetime], None]
# What is read of a locked run: the fields that have no default.
_LOCKED_FIELDS = tuple(
    one.name
    for one in fields(RunState)
    if one.init and one.default is MISSING and one.default_factory is MISSING
)


def lock(ids: Iterable[uuid.UUID], *, skip_locked: bool = False) -> dict[uuid.UUID, RunState]:
    """The runs, locked in order of id. With `skip_locked` those in other hands are left out."""
    rows = (
        Run.objects.select_for_update(no_key=True, skip_locked=skip_locked)
        .filter(pk__in=list(ids))
        .order_by("pk")
        .values_list(*_LOCKED_FIELDS)
    )
    return {row[0]: RunState(*row) for row in rows}


def lock_family(run_id: uuid.UUID) -> tuple[RunState | None, list[RunState]]:
    """A run, and those below it that have not ended, locked. Always from above: only its own lock keeps a run from
    starting more.
    """
    run = lock([run_id]).get(run_id)
    below = lock(active_below(run_id)) if run and run.has_children else {}
    return run, list(below.values())


def tell_parents(states: Iterable[RunState]) -> None:
    """Of money that has come after a child's end."""
    for state in states:
        if state.is_child and state.is_terminal and state.parent_id:
            turns.tend_later(state.parent_id)


def write(
    states: Sequence[RunState], now: datetime, before: Iterable[bulk.Statement] = ()
) -> dict[uuid.UUID, list[StoredEvent]]:
    """Stores changed runs, numbers and stores their events, and wakes whoever waits for what has changed.

    One round trip without webhooks, which takes the statements `before` along. The caller holds the runs' locks and
    publishes the answer after the commit.
    """
    for state in states:
        _stop_clock(state, now)
    stored = {state.id: event_log.number(state, state.events) for state in states}
    events = [event for batch in stored.values() for event in batch]
    bulk.execute([*before, *_update(states, now), *event_log.insertion(events)])
    outbox.write(states, events, now)
    if ended := [state.id for state in states if state.ends and state.was in AT_REST]:
        holds.release(ended)
    for state in states:
        if state.ends and state.session_id:
            turns.hand_on(state.session_id, now)
        _wake_family(state)
    _make_room(states)
    return stored


def _make_room(states: Sequence[RunState]) -> None:
    """Those that are held back in a workspace hear of runs of it that have left their workers' hands."""
    leaving = Counter(state.workspace_id for state in states if state.leaves_hands and not state.is_child)
    for workspace_id, count in leaving.items():
        admission.wake_next(workspace_id, count)


def _stop_clock(state: RunState, now: datetime) -> None:
    """What a run spends in nobody's hands does not count for its `timeout`."""
    if state.leaves_hands:
        state.active_seconds, state.attempt_started_at = state.seconds_in_hand(now), None


def _wake_family(state: RunState) -> None:
    """A parent hears of a child that has ended or goes on; children of what has ended are seen to."""
    goes_on = state.was in AT_REST and state.status not in AT_REST
    if state.is_child and (state.ends or goes_on):
        assert state.parent_id
        turns.tend_later(state.parent_id)
    if state.has_children and state.ends:
        turns.tend_later(state.id)


@dataclass(slots=True)
class Change:
    """A verb at work: the locked run, the active runs below it, the time, and afterwards the stored events."""

    run: RunState
    below: list[RunState]
    now: datetime
    stored: list[StoredEvent] = field(default_factory=list)


@contextmanager
def changing(run_id: uuid.UUID) -> Iterator[Change]:
    """Locks a run, and those below it that have not ended, for a verb. Raises NotFound."""
    now = timezone.now()
    with transaction.atomic():
        run, below = lock_family(run_id)
        if run is None:
            raise NotFound("Run", run_id)
        change = Change(run, below, now)
        yield change
        if changed := [state for state in (run, *change.below) if state.events]:
            stored = write(changed, now)
            change.stored = [event for events in stored.values() for event in events]


def take_totals(run: RunState) -> bool:
    """Takes what the runs below a run have used; whether it has changed. Repeating it changes nothing."""
    before = (run.child_input_tokens, run.child_output_tokens, run.child_cost, run.child_unpriced_calls)
    used = used_below(run.id)
    after = (used.input_tokens, used.output_tokens, used.cost, used.unpriced_calls)
    run.child_input_tokens, run.child_output_tokens, run.child_cost, run.child_unpriced_calls = after
    return before != after


def read(ids: Sequence[uuid.UUID]) -> list[RunState]:
    """The runs as they stand, not locked, in the order of `ids`."""
    rows = {row[0]: row for row in Run.objects.filter(pk__in=ids).values_list(*_LOCKED_FIELDS)}
    return [RunState(*rows[run_id]) for run_id in ids if run_id in rows]


def count_usage(states: Iterable[RunState]) -> list[RunState]:
    """Takes the runs' totals from the ledger: for money that came by another way than the attempt's own entries.

    Answers those that have changed by it.
    """
    by_id = {state.id: state for state in states}
    changed = []
    for run_id, totals in ledger.totals_of_runs(by_id).items():
        state = by_id[run_id]
        before = (state.input_tokens, state.output_tokens, state.cost, state.unpriced_calls)
        state.input_tokens, state.output_tokens = totals.input_tokens, totals.output_tokens
        state.cost, state.unpriced_calls = totals.cost, totals.unpriced_calls
        if before != (totals.input_tokens, totals.output_tokens, totals.cost, totals.unpriced_calls):
            changed.append(state)
    return changed


_WRITTEN = {
    "status": "text", "attempt": "int", "last_seq": "bigint", "journal_position": "bigint", "job_id": "bigint",
    "held_back": "bool", "losses": "smallint", "limits": "jsonb", "total_steps": "int", "input_tokens": "bigint",
    "output_tokens": "bigint", "cost": "numeric", "unpriced_calls": "int", "has_children": "bool",
    "child_input_tokens": "bigint", "child_output_tokens": "bigint", "child_cost": "numeric",
    "child_unpriced_calls": "int", "started_at": "timestamptz", "active_seconds": "float8",
    "attempt_started_at": "timestamptz", "worker_id": "uuid",
}  # fmt: skip
# Written once, by the verb that knows them; null leaves what is there.
_WRITTEN_ONCE = {
    "response_content": "text",
    "output": "jsonb",
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
