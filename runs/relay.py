"""Live events between processes, over Redis' publish and subscribe.

What is published gathers while the batch before it is on its way, and then leaves in one round trip: a busy
worker sends few, full batches. Redis keeps nothing. Whoever was not listening, or could not be reached, reads
the rows.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis

from runs.events import StoredEvent

logger = structlog.get_logger(__name__)

PREFIX = "agentplatform.run."
# Subscribed always, so that there is something to listen to before the first run.
EVERYBODY = "agentplatform.runs"
# A larger batch goes as a mere notice; followers read the rows.
LARGEST_MESSAGE = 256 * 1024
# So many runs' events wait while Redis does not answer. More are dropped: the rows are there.
MOST_WAITING = 10_000
RETRY_SECONDS = 1.0
ANSWER_SECONDS = 5.0

Receive = Callable[[uuid.UUID, list[StoredEvent]], None]
Missed = Callable[[uuid.UUID | None], None]


class Relay:
    """One process's end. `receive` gets the events of the runs that it joined, as their processes publish them.

    `missed` is called with a run whose events may have gone by unheard, or with None where it may be any run's.
    """

    def __init__(self, url: str, receive: Receive, missed: Missed) -> None:
        self._redis = Redis.from_url(url, socket_connect_timeout=ANSWER_SECONDS, socket_keepalive=True)
        self._subscriptions = self._redis.pubsub()
        self._changing = asyncio.Lock()
        self._receive = receive
        self._missed = missed
        self._joined: set[uuid.UUID] = set()
        self._waiting: defaultdict[uuid.UUID, list[StoredEvent]] = defaultdict(list)
        self._arrived = asyncio.Event()

    async def close(self) -> None:
        await self._subscriptions.aclose()
        await self._redis.aclose()

    # --- sending ---

    def publish(self, run_id: uuid.UUID, events: Sequence[StoredEvent]) -> None:
        """Hands events over to `send`; does not wait."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
        self._waiting[run_id] += events
        self._arrived.set()

    async def send(self) -> None:
        """Sends what is published, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            waiting, self._waiting = self._waiting, defaultdict(list)
            try:
                async with asyncio.timeout(ANSWER_SECONDS), self._redis.pipeline(transaction=False) as batch:
                    for run_id, events in waiting.items():
                        batch.publish(f"{PREFIX}{run_id}", _message(events))
                    await batch.execute()
            except Exception as error:
                logger.warning("live_events_not_sent", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    # --- receiving ---

    async def join(self, run_id: uuid.UUID) -> None:
        """From now on the run's events are received. What was published before is reported as missed."""
        self._joined.add(run_id)
        await self._tell(run_id)

    async def leave(self, run_id: uuid.UUID) -> None:
        self._joined.discard(run_id)
        await self._tell(run_id)

    async def _tell(self, run_id: uuid.UUID) -> None:
        """Tells Redis whether the run is listened to now: somebody may have come or gone while this waited."""
        async with self._changing:
            own = self._subscriptions
            try:
                await (own.subscribe if run_id in self._joined else own.unsubscribe)(f"{PREFIX}{run_id}")
            except Exception as error:
                logger.warning("live_channel_unreachable", error=str(error))

    async def listen(self) -> None:
        """Receives until cancelled."""
        while True:
            try:
                await self._subscribe_to_all()
                async for message in self._subscriptions.listen():
                    self._take(message)
            except Exception as error:
                logger.warning("live_channel_unreachable", error=str(error))
                self._missed(None)
                await asyncio.sleep(RETRY_SECONDS)

    async def _subscribe_to_all(self) -> None:
        """On a connection of its own, after whatever happened to the one before."""
        async with self._changing:
            await self._subscriptions.aclose()
            self._subscriptions = self._redis.pubsub()
            await self._subscriptions.subscribe(EVERYBODY, *(f"{PREFIX}{run_id}" for run_id in self._joined))

    def _take(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if not channel.startswith(PREFIX):
            return
        run_id = uuid.UUID(channel.removeprefix(PREFIX))
        if message["type"] == "subscribe":
            # Redis has heard of it only now; what was published in the meantime is in the table.
            self._missed(run_id)
        elif message["type"] == "message":
            if rows := orjson.loads(message["data"]):
                self._receive(run_id, [_event(run_id, row) for row in rows])
            else:
                self._missed(run_id)


def _message(events: Sequence[StoredEvent]) -> bytes:
    """The events as JSON; an empty list in place of very large ones."""
    if sum(len(event.data) for event in events) > LARGEST_MESSAGE:
        return b"[]"
    return orjson.dumps(
        [
            (event.seq, event.attempt, event.step, event.node, str(event.type), event.timestamp, event.data)
            for event in events
        ]
    )


def _event(run_id: uuid.UUID, row: Sequence[Any]) -> StoredEvent:
    seq, attempt, step, node, kind, timestamp, data = row
    return StoredEvent(run_id, seq, attempt, step, node, kind, datetime.fromisoformat(timestamp), data)
