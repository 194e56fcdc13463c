"""A worker: takes runs from the queue and executes many of them at once on one event loop."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog
from django.conf import settings

from agentplatform.lib import queue
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from agentplatform.lib.telemetry import metrics
from agents.mcp import pool as mcp_sessions
from agents.providers import base as providers
from runs.engine.executor import Executor
from runs.engine.heartbeat import Heartbeat, mark_draining
from runs.engine.journal import Journal
from runs.engine.sweep import Sweeper
from runs.live import hub
from runs.tasks import QUEUES

logger = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0


class Worker:
    """Start it once on a running loop; `stop` drains it."""

    def __init__(self, concurrency: int | None = None) -> None:
        self.id = uuid7()
        self.concurrency = concurrency or settings.WORKER_CONCURRENCY
        metrics.places.set(self.concurrency)
        self.ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop, publish = asyncio.get_running_loop(), hub().publish
        self.journal = Journal(publish)
        self.executor = Executor(self.journal, self.id)
        self._heartbeat = Heartbeat(
            self.id,
            self.concurrency,
            is_well=self.journal.is_alive,
            on_lapse=partial(loop.call_soon_threadsafe, self.executor.give_up_all),
        )
        self._sweeper = Sweeper(lambda run_id, events: loop.call_soon_threadsafe(publish, run_id, events))
        await asyncio.to_thread(self._heartbeat.start)
        self._sweeper.start()
        self._task = loop.create_task(self._work(), name="worker")

    async def warm_up(self) -> None:
        """Imports what most runs need; the worker takes runs up meanwhile."""
        await asyncio.to_thread(providers.warm_up)

    async def _work(self) -> None:
        """Works until cancelled, whatever happens to the database meanwhile."""
        while True:
            try:
                await queue.work(
                    QUEUES,
                    concurrency=self.concurrency,
                    drain_seconds=settings.WORKER_DRAIN_SECONDS,
                    context={"executor": self.executor},
                    ready=self.ready.set,
                )
                logger.warning("worker_restarts", reason="The queue's listener has ended.")
            except Exception as error:
                logger.warning("worker_restarts", reason=str(error))
            await asyncio.sleep(RESTART_SECONDS)

    async def stop(self) -> None:
        """Takes no more runs and signs off. Those in hand end or are handed back: at a safe point, or after a while."""
        if self._task is None:
            return
        self.executor.draining = True
        await in_thread(mark_draining, self.id)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await mcp_sessions.close()
        await self.journal.stop()
        await asyncio.to_thread(self._sweeper.stop)
        await asyncio.to_thread(self._heartbeat.stop)
