"""What goes into the journal, and what comes of it: wishes to begin a run, and what attempts have to write."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import Enum

from agentplatform.lib import bulk
from billing.budgets.room import Shortfall
from billing.models import UsageRecord
from runs.events import DELTAS, Event, EventType, StoredEvent
from runs.lifecycle import RunState, Transition
from runs.models import Run

# Characters of one delta event: however they are escaped, it stays below what is stored apart.
LONGEST_DELTA = 8_000
# What a run that pauses instead does not begin with.
ANNOUNCEMENTS = frozenset({EventType.STEP_STARTED, EventType.TOOL_CALL_STARTED})


@dataclass(slots=True)
class Attempt:
    """The handle under which a worker writes: one attempt of one run, its entries counted."""

    run_id: uuid.UUID
    number: int
    position: int = 0
    last_seq: int = 0
    failure: Exception | None = None
    """What the database said of an earlier entry. Nothing may follow a lost entry but the run's end."""


@dataclass(slots=True)
class Tally:
    """What an entry adds to its run's totals."""

    steps: int = 0
    usage: list[UsageRecord] = field(default_factory=list)

    def settled(self) -> list[UsageRecord]:
        """Without calls that are about to be made: an entry is opened and committed before its call."""
        return [record for record in self.usage if record.entry == "settled"]

    @property
    def opens_call(self) -> bool:
        """Whether a model is about to be called."""
        return any(record.entry == "opened" for record in self.usage)

    def add_to(self, state: RunState) -> None:
        state.total_steps += self.steps
        for record in self.usage:
            if record.entry == "settled":
                state.input_tokens += record.input_tokens
                state.output_tokens += record.output_tokens
                state.cost += record.cost or 0
                state.unpriced_calls += record.cost is None


@dataclass(slots=True)
class Entry:
    """What one attempt has to write since its last flush. `attempt` None: rows without a run, not fenced."""

    attempt: Attempt | None
    position: int = 0
    events: list[Event] = field(default_factory=list)
    rows: list[bulk.Row] = field(default_factory=list)
    claims: list[bulk.Row] = field(default_factory=list)
    """Rows that say what is about to happen; not written where it does not."""
    tally: Tally = field(default_factory=Tally)
    transition: Transition | None = None
    ends_badly: bool = False
    """Its transition is written even where an earlier entry was lost."""
    is_last: bool = False
    """The attempt writes nothing after it."""
    at_safe_point: bool = False
    """A step is about to begin: a run that is to pause pauses here, and what was about to happen does not."""

    def without_announcements(self) -> list[Event]:
        """What has happened, without what the step that is about to begin has announced."""
        step = self.events[-1].step if self.events else 0
        ended = {event.node for event in self.events if event.type is EventType.STEP_COMPLETED}
        return [
            event
            for event in self.events
            if event.step != step or event.type not in ANNOUNCEMENTS or event.node in ended
        ]

    def add_event(self, event: Event) -> None:
        """Appends; a delta that follows one of its kind is joined to it, so load makes fewer, larger events."""
        last = self.events[-1] if self.events else None
        if last and event.type in DELTAS and _continues(last, event):
            last.data = {"content": last.data["content"] + event.data["content"]}
        else:
            self.events.append(event)


def _continues(last: Event, delta: Event) -> bool:
    """Whether `delta` goes on with `last` and both still fit into one event."""
    is_same = (last.type, last.step, last.node) == (delta.type, delta.step, delta.node)
    return is_same and len(last.data["content"]) + len(delta.data["content"]) <= LONGEST_DELTA


@dataclass(slots=True)
class Begin:
    """A worker's wish to take a queued run."""

    run_id: uuid.UUID
    worker_id: uuid.UUID
    repeated: bool = False
    """Tried before by a flush whose answer was lost."""


class Outcome(Enum):
    COMMITTED = "committed"
    BLOCKED = "blocked"
    """The run's row is in other hands, or its workspace's admission is; the entry waits for the next flush."""
    PAUSED = "paused"
    """The run was to pause and now rests; what the entry had done before was written."""
    FENCED = "fenced"
    """The attempt is not the run's any more, or the run has ended or is held back; nothing but usage was written."""


@dataclass(slots=True)
class Result:
    outcome: Outcome
    events: list[StoredEvent] = field(default_factory=list)
    run: Run | None = None
    """The whole run, as an answer to Begin."""
    refused: dict[uuid.UUID, Shortfall] = field(default_factory=dict)
    """Calls that were not opened, because a budget has no room for them."""
