"""Live delivery: committed events on their way to whoever follows a run in this process.

One hub per process. A follower of a run gets what is published after it subscribed; its queue is bounded, and one
that overflows only makes it read the rows. Events made in this process arrive directly; those of other
processes over Redis (`runs.relay`) when there is one. Whatever gets lost on the way is found by
comparing `last_seq` with the table every two seconds: the table is the truth, this is a shortcut.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import structlog
from django.conf import settings

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.telemetry import metrics
from runs.events import StoredEvent, by_run
from runs.models import Run

logger = structlog.get_logger(__name__)

QUEUE_SIZE = 1000
CHECK_SECONDS = 2.0


class Subscription:
    """What has been published for one follower. `behind` says that something is missing: read the rows."""

    def __init__(self) -> None:
        self.behind = False
        self.seen_seq = 0
        self._events: deque[StoredEvent] = deque()
        self._arrived = asyncio.Event()

    def put(self, events: Sequence[StoredEvent]) -> None:
        if len(self._events) + len(events) > QUEUE_SIZE:
            self._events.clear()
            self.fall_behind()
        else:
            self._events.extend(events)
            self._arrived.set()

    def fall_behind(self) -> None:
        self.behind = True
        self._arrived.set()

    def wake(self) -> None:
        self._arrived.set()

    def take(self) -> list[StoredEvent]:
        """All that has arrived; clears the `behind` flag of before."""
        events = list(self._events)
        self._events.clear()
        self._arrived.clear()
        return events

    async def wait(self, seconds: float) -> bool:
        """Waits until something arrives; False when nothing did within `seconds`."""
        if self._arrived.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                return await self._arrived.wait()
        except TimeoutError:
            return False


class Hub:
    """The process's followers by run, and its link to other processes."""

    def __init__(self) -> None:
        self.draining = False
        self._followers: defaultdict[uuid.UUID, set[Subscription]] = defaultdict(set)
        self._relay = _relay(self.deliver, self._missed)
        self._tasks: set[asyncio.Task[Any]] = set()

    def launch(self) -> None:
        """Starts the hub's own tasks on the running loop."""
        self._spawn(self._check())
        if self._relay:
            self._spawn(self._relay.send())
            self._spawn(self._relay.listen())

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._relay:
            await self._relay.close()

    def drain(self) -> None:
        """Tells every follower to end: the process is about to stop."""
        self.draining = True
        for followers in self._followers.values():
            for follower in followers:
                follower.wake()

    @property
    def followers(self) -> int:
        return sum(len(followers) for followers in self._followers.values())

    def subscribe(self, run_id: uuid.UUID) -> Subscription:
        """From now on the subscription gets what is published; `unsubscribe` must follow."""
        subscription = Subscription()
        followers = self._followers[run_id]
        followers.add(subscription)
        metrics.subscribers.inc()
        if self._relay and len(followers) == 1:
            self._spawn(self._relay.join(run_id))
        return subscription

    def unsubscribe(self, run_id: uuid.UUID, subscription: Subscription) -> None:
        followers = self._followers.get(run_id)
        if not followers or subscription not in followers:
            return
        followers.discard(subscription)
        metrics.subscribers.dec()
        if not followers:
            del self._followers[run_id]
            if self._relay:
                self._spawn(self._relay.leave(run_id))

    def publish(self, run_id: uuid.UUID, events: list[StoredEvent]) -> None:
        """Delivers committed events here and, where there is a Redis, to other processes. On the loop."""
        metrics.events_committed(events)
        self.deliver(run_id, events)
        if self._relay:
            self._relay.publish(run_id, events)

    def deliver(self, run_id: uuid.UUID, events: list[StoredEvent]) -> None:
        followers = self._followers.get(run_id)
        if not followers:
            return
        for follower in followers:
            follower.put(events)
        metrics.delivered(events[0].timestamp)

    # --- other processes ---

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _missed(self, run_id: uuid.UUID | None) -> None:
        """Something was published that this process may not have heard: of one run, or of any."""
        for key in self._followers if run_id is None else (run_id,):
            for follower in self._followers.get(key, ()):
                follower.fall_behind()

    # --- the safety net ---

    async def _check(self) -> None:
        """Every two seconds, one query: whoever has seen less than the table has, reads the rows."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not self._followers:
                continue
            try:
                heads = await in_thread(_heads, list(self._followers))
            except Exception as error:
                logger.warning("live_check_failed", error=str(error))
                continue
            for run_id, last_seq in heads.items():
                for follower in self._followers.get(run_id, ()):
                    if follower.seen_seq < last_seq:
                        follower.fall_behind()


def _heads(run_ids: list[uuid.UUID]) -> dict[uuid.UUID, int]:
    return dict(Run.objects.filter(pk__in=run_ids).values_list("pk", "last_seq"))


def _relay(receive: Any, missed: Any) -> Any:
    """The link to other processes; None where there is no Redis, whose client then is not even imported."""
    if not settings.REDIS_URL:
        return None
    from runs.relay import Relay

    return Relay(settings.REDIS_URL, receive, missed)


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub() -> Hub:
    """The hub of the running event loop; made, and its tasks started, when first asked for."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        for old in [known for known in _hubs if known.is_closed()]:
            del _hubs[old]
        _hubs[loop] = Hub()
        _hubs[loop].launch()
    return _hubs[loop]


def announce(events: Sequence[StoredEvent]) -> None:
    """Publishes committed events from synchronous code. Where it can't, followers find them in the table."""
    for loop, known in list(_hubs.items()) if events else ():
        if loop.is_running():
            for run_id, batch in by_run(events).items():
                loop.call_soon_threadsafe(known.publish, run_id, batch)
            return
