"""The journal: everything that running graphs make durable, committed in groups.

One per worker process. Its front is called on the event loop and only collects; a thread of its own, with a
connection of its own, takes all that has come in and commits it in one transaction, again and again.
So a flush takes along what gathered during the one before: alone a run waits for one short commit, and
under load many runs share each. `await journal.write(...)` returns after the commit.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

import structlog

from agentplatform.lib import bulk
from agentplatform.lib.telemetry import metrics
from billing.models import UsageRecord
from runs.engine.connection import CONNECTION_FAULTS, be_bounded, is_held_up, release, waiting_briefly
from runs.engine.entries import Attempt, Begin, Entry, Outcome, Result
from runs.engine.flush import commit
from runs.events import Event, StoredEvent
from runs.lifecycle import Transition
from runs.models import Run

logger = structlog.get_logger(__name__)

# Seconds that a flush waits for company when another has just ended: fewer, fuller transactions under load.
GATHER_SECONDS = 0.002
# What a flush spends at most on entries that met somebody else's lock before.
HELD_UP_SECONDS = 0.2
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)

# Of what an attempt writes, of a wish to begin, of rows that belong to no run.
Key = tuple[uuid.UUID, int] | uuid.UUID | int
Publish = Callable[[uuid.UUID, list[StoredEvent]], None]


class Fenced(Exception):
    """The attempt is not the run's any more: it was cancelled, or another worker has taken it over."""


class Paused(Exception):
    """The run was to pause and now rests at its last checkpoint; the attempt is over."""


class HandedBack(Exception):
    """The worker stops: it begins nothing more, and another goes on from the last checkpoint."""


@dataclass(slots=True)
class _Pending:
    """An item and the futures that wait for its commit."""

    item: Entry | Begin
    waiters: list[asyncio.Future[Result]] = field(default_factory=list)
    repeated: bool = False
    """Tried before by a flush whose answer was lost: it may be written already, so nothing is added to it."""
    held_up: bool = False
    """It met somebody else's lock (a budget's row) and is tried apart, so that its neighbours do not wait for it."""


class Part(TypedDict, total=False):
    """What one call adds to its attempt's entry."""

    events: Iterable[Event]
    rows: Iterable[bulk.Row]
    claims: Iterable[bulk.Row]
    usage: Sequence[UsageRecord]
    steps: int
    transition: Transition | None
    at_safe_point: bool
    is_last: bool
    ends_badly: bool


class Journal:
    """See the module. `publish` is called on the loop with the events of each run, after their commit."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._arrived = threading.Condition()
        self._open: dict[Key, _Pending] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    # --- the front, on the loop ---

    async def begin(self, run_id: uuid.UUID, worker_id: uuid.UUID) -> tuple[Run, Attempt]:
        """Takes a queued run for this worker. Raises Fenced when it is not queued (any more)."""
        pending = _Pending(Begin(run_id, worker_id))
        result = await self._hand_in(pending, uuid.uuid4())
        assert result.run is not None
        attempt = Attempt(run_id, result.run.attempt, last_seq=result.run.last_seq)
        return result.run, attempt

    def append(self, attempt: Attempt, **part: Unpack[Part]) -> _Pending:
        """Adds to what the attempt writes with the next flush. Everything of one call commits together."""
        with self._arrived:
            # By attempt: an old one of the same run may still have its last words to say.
            key = (attempt.run_id, attempt.number)
            pending = self._open.get(key)
            if pending is None:
                pending = self._open[key] = _Pending(Entry(attempt))
                self._arrived.notify()
            entry = pending.item
            assert isinstance(entry, Entry)
            for event in part.get("events", ()):
                entry.add_event(event)
            entry.rows.extend(part.get("rows", ()))
            entry.claims.extend(part.get("claims", ()))
            entry.tally.usage.extend(part.get("usage", ()))
            entry.tally.steps += part.get("steps", 0)
            entry.transition = part.get("transition") or entry.transition
            entry.ends_badly = entry.ends_badly or part.get("ends_badly", False)
            entry.at_safe_point = entry.at_safe_point or part.get("at_safe_point", False)
            entry.is_last = entry.is_last or part.get("is_last", False)
            return pending

    def submit(self, attempt: Attempt, **part: Unpack[Part]) -> asyncio.Future[Result]:
        """Like `append`; the future is done after the commit of this and all before it.

        It raises Fenced, Paused (only `at_safe_point`), or what the database said of these rows or of earlier ones.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        with self._arrived:
            self.append(attempt, **part).waiters.append(future)
        return future

    async def write(self, attempt: Attempt, **part: Unpack[Part]) -> list[StoredEvent]:
        """Like `submit`, and returns after the commit. After a lost entry only an end that `ends_badly` is written."""
        return (await self.committed(attempt, **part)).events

    async def committed(self, attempt: Attempt, **part: Unpack[Part]) -> Result:
        """Like `write`; answers all that the commit has come to."""
        result = await self.submit(attempt, **part)
        if attempt.failure and not part.get("ends_badly"):
            raise attempt.failure
        return result

    async def write_rows(self, rows: Sequence[bulk.Row]) -> None:
        """Rows that belong to no run: not fenced."""
        pending = _Pending(Entry(None, rows=list(rows)))
        await self._hand_in(pending, id(pending))

    async def _hand_in(self, pending: _Pending, key: Key) -> Result:
        future: asyncio.Future[Result] = self._loop.create_future()
        pending.waiters.append(future)
        with self._arrived:
            self._open[key] = pending
            self._arrived.notify()
        return await future

    def is_alive(self) -> bool:
        """Whether the thread still commits."""
        return self._thread.is_alive()

    async def stop(self) -> None:
        """Commits what is left and ends the thread."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        await asyncio.to_thread(self._thread.join, 10)

    # --- the thread ---

    def _work(self) -> None:
        blocked: dict[Key, _Pending] = {}
        try:
            be_bounded()
            while batch := self._take(blocked):
                blocked = self._flush(batch)
                time.sleep(GATHER_SECONDS)
        except Exception:
            logger.exception("The journal's thread has ended; no run of this worker can go on.")
            raise
        finally:
            release()

    def _take(self, blocked: dict[Key, _Pending]) -> dict[Key, _Pending]:
        """All that has come in, after what an earlier flush had to leave; waits for something to do."""
        with self._arrived:
            while not (self._open or blocked or self._stopping):
                self._arrived.wait()
            arrived, self._open = self._open, {}
        for key, pending in arrived.items():
            if (earlier := blocked.get(key)) and earlier.repeated:
                self._open[key] = pending
            elif earlier:
                _join(earlier, pending)
            else:
                blocked[key] = pending
        return blocked

    def _flush(self, batch: dict[Key, _Pending]) -> dict[Key, _Pending]:
        """Commits the batch, tells who waits, and answers what has to wait for the next flush."""
        for pending in batch.values():
            _count(pending.item)
            _leave_out(pending.item)
        with metrics.FlushTimer(len(batch)):
            outcomes = self._commit_apart(list(batch.values()))
        blocked: dict[Key, _Pending] = {}
        waiting: dict[Key, _Pending] = {}
        done = []
        for key, pending in batch.items():
            outcome = outcomes.get(id(pending))
            if isinstance(outcome, Exception) and isinstance(pending.item, Entry) and pending.item.attempt:
                pending.item.attempt.failure = outcome
            if outcome is None or (isinstance(outcome, Result) and outcome.outcome is Outcome.BLOCKED):
                if not pending.repeated:
                    _uncount(pending.item)
                (blocked if outcome else waiting)[key] = pending
            else:
                done.append((pending, outcome))
        self._loop.call_soon_threadsafe(self._settle, done)
        # Those for which there was no time come first.
        return waiting | blocked

    def _commit_apart(self, batch: list[_Pending]) -> dict[int, Result | Exception]:
        """By id, what has become of each; of those held up before, only as many as there is time for."""
        free = [pending for pending in batch if not pending.held_up]
        outcomes = dict(zip(map(id, free), self._commit(free), strict=True)) if free else {}
        if len(free) == len(batch):
            return outcomes
        until = time.monotonic() + HELD_UP_SECONDS
        with waiting_briefly():
            for pending in batch:
                if id(pending) not in outcomes and time.monotonic() < until:
                    outcomes[id(pending)] = self._commit_alone(pending)
        return outcomes

    def _commit(self, batch: list[_Pending]) -> list[Result | Exception]:
        if len(batch) == 1:
            return [self._commit_alone(batch[0])]
        try:
            return list(self._commit_surely(batch))
        except Exception:
            # One run's bad rows, or a lock that it waits for, must not fail its neighbours: each alone.
            with waiting_briefly():
                return [self._commit_alone(pending) for pending in batch]

    def _commit_alone(self, pending: _Pending) -> Result | Exception:
        try:
            (result,) = self._commit_surely([pending])
        except Exception as error:
            pending.held_up = is_held_up(error)
            return Result(Outcome.BLOCKED) if pending.held_up else error
        pending.held_up = False
        return result

    def _commit_surely(self, batch: list[_Pending]) -> list[Result]:
        """Repeats the very same flush while the database is away; keys and positions make that harmless.

        Raises what the database says of the rows, and where somebody else's lock holds them up.
        """
        tries = 0
        while True:
            try:
                return commit([pending.item for pending in batch])
            except CONNECTION_FAULTS as error:
                if is_held_up(error):
                    raise
                release()
                for pending in batch:
                    pending.repeated = True
                    if isinstance(pending.item, Begin):
                        pending.item.repeated = True
                metrics.journal_retries.inc()
                delay = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
                tries += 1
                if self._stopping and tries > len(RETRY_SECONDS):
                    raise
                logger.warning(
                    "The journal can't reach the database and tries again.", error=str(error), delay=delay
                )
                time.sleep(delay)
                be_bounded()

    def _settle(self, done: list[tuple[_Pending, Result | Exception]]) -> None:
        for pending, outcome in done:
            error = _error(outcome)
            if isinstance(outcome, Result) and outcome.events:
                self._publish(outcome.events[0].run_id, outcome.events)
                if isinstance(pending.item, Entry) and pending.item.attempt:
                    pending.item.attempt.last_seq = outcome.events[-1].seq
            for waiter in pending.waiters:
                if waiter.done():
                    continue
                if error:
                    waiter.set_exception(error)
                else:
                    waiter.set_result(outcome)  # type: ignore[arg-type]


def _error(outcome: Result | Exception) -> Exception | None:
    if isinstance(outcome, Exception):
        return outcome
    match outcome.outcome:
        case Outcome.FENCED:
            return Fenced("The run has been cancelled or taken over.")
        case Outcome.PAUSED:
            return Paused("The run rests until it is resumed.")
    return None


def _join(earlier: _Pending, later: _Pending) -> None:
    """Puts what came later behind what had to wait, so that a run's order is kept."""
    first, second = earlier.item, later.item
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    for event in second.events:
        first.add_event(event)
    first.rows.extend(second.rows)
    first.claims.extend(second.claims)
    first.tally.usage.extend(second.tally.usage)
    first.tally.steps += second.tally.steps
    first.transition = second.transition or first.transition
    first.at_safe_point = first.at_safe_point or second.at_safe_point
    first.ends_badly = first.ends_badly or second.ends_badly
    first.is_last = first.is_last or second.is_last
    earlier.waiters.extend(later.waiters)


def _count(item: Entry | Begin) -> None:
    """The entry's place in its attempt, given once and kept through every repeat."""
    if isinstance(item, Entry) and item.attempt and not item.position:
        item.attempt.position += 1
        item.position = item.attempt.position


def _leave_out(item: Entry | Begin) -> None:
    """Nothing may follow a lost entry but money, and an end that says so."""
    if isinstance(item, Entry) and item.attempt and item.attempt.failure:
        item.events.clear()
        item.rows.clear()
        item.claims.clear()
        # A call whose opening nobody is told of is not made.
        item.tally.usage = item.tally.settled()
        item.transition = item.transition if item.ends_badly else None


def _uncount(item: Entry | Begin) -> None:
    """A blocked entry has written nothing, so it gives its place back and may still grow."""
    if isinstance(item, Entry) and item.attempt:
        item.attempt.position -= 1
        item.position = 0
