"""One flush of the journal: many runs' entries in one transaction.

Order in a flush: the runs are locked first, in order of id, those in other hands left for the next
flush; rows are inserted only for entries whose attempt is still the run's. Money is not fenced: usage
of a superseded or cancelled attempt is appended all the same.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from agentplatform.lib import bulk
from billing import ledger
from billing.budgets import holds, notices
from billing.budgets.room import Room, Shortfall
from billing.models import BudgetHold, UsageRecord
from runs import event_log, lifecycle
from runs.engine.entries import Attempt, Begin, Entry, Outcome, Result
from runs.events import TERMINAL_EVENTS, Event, EventType
from runs.lifecycle import RunState
from runs.models import (
    TERMINAL,
    UNDER_WAY,
    Approval,
    Checkpoint,
    CheckpointBlob,
    CheckpointWrite,
    Message,
    Run,
    RunStep,
    Status,
    ToolCall,
)
from runs.queueing.admission import Admission, Decision

# What says how a run ends or rests.
LAST_WORDS = TERMINAL_EVENTS | {EventType.RUN_PAUSED, EventType.RUN_WAITING}


def commit(items: Sequence[Entry | Begin]) -> list[Result]:
    """Writes all of `items` in one transaction; results in the same order. Repeating it is harmless."""
    now = timezone.now()
    with transaction.atomic():
        return _Flush(items, now).run()


class _Flush:
    def __init__(self, items: Sequence[Entry | Begin], now: datetime) -> None:
        self.items = items
        self.now = now
        ids = {key for item in items if (key := _run_id(item))}
        self.states = lifecycle.lock(ids, skip_locked=True) if ids else {}
        missing = ids - self.states.keys()
        self.gone = (
            missing - set(Run.objects.filter(pk__in=missing).values_list("pk", flat=True))
            if missing
            else set()
        )
        self.admission = Admission()
        self.changed: dict[uuid.UUID, RunState] = {}
        self.rows: list[bulk.Row] = []
        self.usage: list[UsageRecord] = []
        self.late: set[uuid.UUID] = set()
        self.begun: list[uuid.UUID] = []
        self.room = Room(_usage(items), now)

    def run(self) -> list[Result]:
        results = [self._take(item) for item in self.items]
        statements = [
            *self.room.statements(),
            *ledger.appending(self.usage),
            *_inserting(self.rows),
        ]
        if self.late or (self.usage and self.room.is_watched):
            bulk.execute(statements)
            statements = []
            self._count_late_usage()
            self._warn_of_budgets()
        stored = lifecycle.write(list(self.changed.values()), self.now, statements)
        runs = Run.objects.in_bulk(self.begun) if self.begun else {}
        for item, result in zip(self.items, results, strict=True):
            key = _run_id(item)
            if result.outcome in (Outcome.COMMITTED, Outcome.PAUSED) and key is not None:
                result.events = result.events or stored.get(key, [])
                result.run = runs.get(key) if isinstance(item, Begin) else None
        return results

    def _take(self, item: Entry | Begin) -> Result:
        key = _run_id(item)
        if key is None:
            self.rows.extend(item.rows)  # type: ignore[union-attr]
            return Result(Outcome.COMMITTED)
        state = self.states.get(key)
        if state is None:
            return Result(Outcome.FENCED if key in self.gone else Outcome.BLOCKED)
        return self._begin(item, state) if isinstance(item, Begin) else self._write(item, state)

    def _begin(self, item: Begin, state: RunState) -> Result:
        is_ours = state.status in UNDER_WAY and state.worker_id == item.worker_id
        if item.repeated and is_ours and state.journal_position == 0:
            # The commit of this very begin succeeded, only its answer was lost.
            self.begun.append(state.id)
            return Result(Outcome.COMMITTED, event_log.read(state.id, state.last_seq - 1))
        if state.status != Status.QUEUED:
            return Result(Outcome.FENCED)
        match Decision.ADMITTED if state.is_child else self.admission.decide(state.workspace_id):
            case Decision.POSTPONED:
                return Result(Outcome.BLOCKED)
            case Decision.HELD_BACK:
                lifecycle.hold_back(state)
                self.changed[state.id] = state
                return Result(Outcome.FENCED)
        lifecycle.begin(item.worker_id)(state, self.now)
        self.changed[state.id] = state
        self.begun.append(state.id)
        return Result(Outcome.COMMITTED)

    def _write(self, entry: Entry, state: RunState) -> Result:
        attempt = entry.attempt
        assert attempt is not None
        is_current = state.attempt == attempt.number
        is_repeated = is_current and entry.position <= state.journal_position
        if is_current and not is_repeated and state.status in UNDER_WAY:
            return self._accept(entry, state)
        if is_repeated:
            return self._repeat(entry, attempt, state)
        # A call that is not going to be made has not been opened.
        self.usage.extend(entry.tally.settled() if entry.at_safe_point else entry.tally.usage)
        self._come_late(entry, state)
        return Result(Outcome.FENCED)

    def _repeat(self, entry: Entry, attempt: Attempt, state: RunState) -> Result:
        """The entry is written already, only the answer was lost; whatever has happened to the run since."""
        self.usage.extend(entry.tally.settled())
        events = event_log.read(state.id, attempt.last_seq)
        if entry.at_safe_point and state.status not in UNDER_WAY:
            # What was about to begin must not any more.
            return Result(Outcome.PAUSED, events)
        return Result(Outcome.COMMITTED, events, refused=self._ask_again(entry))

    def _ask_again(self, entry: Entry) -> dict[uuid.UUID, Shortfall]:
        """Calls that the ledger does not have were refused; those for which there is room by now are opened."""
        wanted = [record for record in entry.tally.usage if record.entry == "opened"]
        known = ledger.opened_among(record.call_id for record in wanted) if wanted else set()
        missing = [record for record in wanted if record.call_id not in known]
        refused = self.room.take(missing)
        self.usage.extend(record for record in missing if _is_made(record, refused))
        return refused

    def _accept(self, entry: Entry, state: RunState) -> Result:
        state.journal_position = entry.position
        tokens, cost = state.total_tokens, state.total_cost
        entry.tally.add_to(state)
        self.changed[state.id] = state
        self.rows.extend(entry.rows)
        refused = self.room.take(entry.tally.usage)
        if entry.at_safe_point and (why := self._why_it_rests(entry, state, refused)) is not None:
            self.room.give_back(entry.tally.usage)
            self.usage.extend(entry.tally.settled())
            state.events.extend(entry.without_announcements())
            self._warn(state, tokens, cost)
            lifecycle.come_to_rest(state, self.now, **why)
            return Result(Outcome.PAUSED)
        self.usage.extend(record for record in entry.tally.usage if _is_made(record, refused))
        self.rows.extend(entry.claims)
        state.events.extend(entry.events)
        self._warn(state, tokens, cost)
        if entry.transition:
            entry.transition(state, self.now)
        return Result(Outcome.COMMITTED, refused=refused)

    def _warn(self, state: RunState, tokens_before: int, cost_before: Decimal) -> None:
        for nearing in lifecycle.nearly_exceeded(state, tokens_before, cost_before):
            state.add_event(EventType.BUDGET_WARNING, self.now, **nearing.figures)

    def _warn_of_budgets(self) -> None:
        """What this flush's calls have reached of the workspace's budgets, told before how their runs end or rest."""
        if not self.room.is_watched:
            return
        for run_id, warnings in notices.of_runs(list(self.states)).items():
            state = self.states[run_id]
            if state.was in TERMINAL:
                continue
            self.changed[run_id] = state
            place = next(
                (index for index, event in enumerate(state.events) if event.type in LAST_WORDS),
                len(state.events),
            )
            state.events[place:place] = [
                Event(EventType.BUDGET_WARNING, {"run_id": str(run_id), **data}, self.now)
                for data in warnings
            ]

    def _why_it_rests(
        self, entry: Entry, state: RunState, refused: dict[uuid.UUID, Shortfall]
    ) -> dict[str, Any] | None:
        """At a safe point: it is to pause, or a model call would go over its limits. None: it goes on."""
        if state.status == Status.PAUSING:
            return {}
        if not entry.tally.opens_call:
            return None
        if excess := lifecycle.exceeded(state, self.now) or lifecycle.exceeded_above(state, self.now):
            return excess.data
        opened = {record.call_id for record in entry.tally.usage if record.entry == "opened"}
        if opened - refused.keys() or not all(shortfall.pauses for shortfall in refused.values()):
            # Some go on: the others wait until those have ended.
            return None
        shortfall = next(iter(refused.values()))
        self.rows.extend(holds.rows(state.id, shortfall, self.now))
        return shortfall.data

    def _come_late(self, entry: Entry, state: RunState) -> None:
        """A fenced attempt's money still counts for its run.

        With its last entry a cancelled run is in nobody's hands any more; should that never come, the run is found
        in the hands of a lost worker, and what the attempt has left open is settled.
        """
        if entry.tally.usage:
            self.late.add(state.id)
        is_its_worker = entry.attempt and state.attempt == entry.attempt.number and state.worker_id
        if state.is_terminal and entry.is_last and is_its_worker:
            state.worker_id = None
            self.changed[state.id] = state

    def _count_late_usage(self) -> None:
        """Taken from the ledger, so that a repeated flush, and what a sweep has settled before, counts once."""
        changed = lifecycle.count_usage(self.states[run_id] for run_id in self.late)
        self.changed.update({state.id: state for state in changed})
        lifecycle.tell_parents(changed)


def _usage(items: Iterable[Entry | Begin]) -> list[UsageRecord]:
    return [record for item in items if isinstance(item, Entry) for record in item.tally.usage]


def _is_made(record: UsageRecord, refused: dict[uuid.UUID, Shortfall]) -> bool:
    return record.entry == "settled" or record.call_id not in refused


def _run_id(item: Entry | Begin) -> uuid.UUID | None:
    if isinstance(item, Begin):
        return item.run_id
    return item.attempt.run_id if item.attempt else None


# How each table takes rows that may be there already: of a repeated step, or of a repeated flush.
_KEEP = bulk.Conflict(())
_WRITE_KEY = ("thread_id", "namespace", "checkpoint_id", "task_id", "index")
_CONFLICTS: dict[type[models.Model], bulk.Conflict] = {
    RunStep: bulk.Conflict(
        ("run_id", "step_num", "node"),
        ("attempt", "type", "messages", "model_response", "metrics", "started_at", "finished_at"),
    ),
    Message: bulk.Conflict(("id",), ("content", "thought", "models_usage", "metadata")),
    Checkpoint: bulk.Conflict(
        ("thread_id", "namespace", "checkpoint_id"), ("parent_checkpoint_id", "checkpoint", "metadata")
    ),
    CheckpointBlob: _KEEP,
    Approval: _KEEP,
    BudgetHold: bulk.Conflict(("run_id",), ("budget_id", "needs_amount", "needs_tokens", "since")),
    ToolCall: bulk.Conflict(
        ("run_id", "step_num", "call_id"), ("attempt", "status", "message", "finished_at")
    ),
}


def _inserting(rows: Iterable[bulk.Row]) -> list[bulk.Statement]:
    """One insert per table, whatever number of runs the rows belong to."""
    by_table: defaultdict[tuple[type[models.Model], bulk.Conflict], list[bulk.Values]] = defaultdict(list)
    for row in rows:
        by_table[row.model, _conflict(row)].append(row.values)
    return [bulk.insert(model, values, conflict) for (model, conflict), values in by_table.items()]


def _conflict(row: bulk.Row) -> bulk.Conflict:
    """LangGraph's special writes (negative index: error, interrupt, resume …) replace earlier ones; others stay."""
    if row.model is CheckpointWrite:
        return bulk.Conflict(_WRITE_KEY, ("channel", "type", "blob")) if row.values["index"] < 0 else _KEEP
    return _CONFLICTS[row.model]
