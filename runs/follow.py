"""Following a run: its events from any point on, without hole or repeat, and live until its end.

The one source of SSE, WebSocket, `wait` and every other protocol: subscribe, replay the rows, go live, end at the
terminal event. A transport only authenticates, follows and encodes.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

from agentplatform.lib.concurrency import in_thread
from runs import event_log
from runs.events import StoredEvent
from runs.live import hub
from runs.models import TERMINAL, Run

HEARTBEAT_SECONDS = 15.0


class Follower:
    """Events of one run after `after`. Subscribed from its construction until `close`."""

    def __init__(self, run_id: uuid.UUID, after: int = 0) -> None:
        self.run_id = run_id
        self.seq = after
        self.ended = False
        self._hub = hub()
        self._subscription = self._hub.subscribe(run_id)
        self._subscription.seen_seq = after

    def close(self) -> None:
        self._hub.unsubscribe(self.run_id, self._subscription)

    async def batches(self, known: Sequence[StoredEvent] | None = None) -> AsyncIterator[list[StoredEvent]]:
        """Batches in order of `seq`; an empty one is a heartbeat. Ends after the terminal event, or on drain.

        `known` are all the events that a run which was started after this follower has so far; they spare the
        first read.
        """
        try:
            async for batch in self._replay() if known is None else self._accept(list(known)):
                yield batch
            while not (self.ended or self._hub.draining):
                if not await self._subscription.wait(HEARTBEAT_SECONDS):
                    yield []
                    continue
                async for batch in self._arrivals():
                    yield batch
        finally:
            self.close()

    async def _arrivals(self) -> AsyncIterator[list[StoredEvent]]:
        behind, self._subscription.behind = self._subscription.behind, False
        events = sorted(
            (event for event in self._subscription.take() if event.seq > self.seq),
            key=lambda event: event.seq,
        )
        complete = not events or events[-1].seq - self.seq == len({event.seq for event in events})
        if behind or not complete:
            async for batch in self._rows():
                yield batch
        else:
            async for batch in self._accept(events):
                yield batch

    async def _replay(self) -> AsyncIterator[list[StoredEvent]]:
        async for batch in self._rows():
            yield batch
        if not self.ended:
            self.ended = await in_thread(_has_ended, self.run_id, self.seq)

    async def _rows(self) -> AsyncIterator[list[StoredEvent]]:
        while events := await in_thread(event_log.read, self.run_id, self.seq):
            async for batch in self._accept(events):
                yield batch
            if self.ended or len(events) < event_log.PAGE:
                return

    async def _accept(self, events: list[StoredEvent]) -> AsyncIterator[list[StoredEvent]]:
        fresh = _without_repeats(events, self.seq)
        if fresh:
            self.seq = self._subscription.seen_seq = fresh[-1].seq
            self.ended = fresh[-1].is_terminal
            yield fresh


def _without_repeats(events: Sequence[StoredEvent], after: int) -> list[StoredEvent]:
    fresh = []
    for event in events:
        if event.seq > after:
            fresh.append(event)
            after = event.seq
    return fresh


def _has_ended(run_id: uuid.UUID, seq: int) -> bool:
    return Run.objects.filter(pk=run_id, status__in=TERMINAL, last_seq__lte=seq).exists()


async def follow(run_id: uuid.UUID, after: int = 0) -> AsyncIterator[list[StoredEvent]]:
    """Batches of the run's events after `after`, until its end."""
    follower = Follower(run_id, after)
    try:
        async for batch in follower.batches():
            yield batch
    finally:
        follower.close()
