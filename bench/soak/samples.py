"""Looks at the platform's processes, its PostgreSQL and its Redis from outside, every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Self

import psutil
import psycopg
from redis import Redis

from agentplatform.database import embedded_url
from bench.measures import MEGABYTE
from bench.platform import Platform
from bench.processes import Cost, cpu_cost, is_database, tree
from bench.soak.recording import Recording

# All but the sampler's own session. Parallel workers of a query are no connections.
SESSIONS = """
    SELECT count(*),
        count(*) FILTER (WHERE state = 'active'),
        count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
        COALESCE(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
QUEUE = """
    SELECT count(*), COALESCE(extract(epoch FROM clock_timestamp() - min(queued_at)), 0)::float
    FROM runs_run WHERE status = 'queued'
"""
UNSEALED = """
    SELECT count(*), COALESCE(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float
    FROM billing_unsealedusage JOIN billing_usagerecord ON id = record_id
"""


class Sampler:
    """Adds to the recording's series until it is left."""

    def __init__(
        self,
        platform: Platform,
        recording: Recording,
        redis_url: str,
        seconds_between: float,
        under_way: Callable[[], int],
    ) -> None:
        self._platform, self._recording = platform, recording
        self._seconds_between, self._under_way = seconds_between, under_way
        self._stopped = asyncio.Event()
        self._database = psycopg.connect(embedded_url(platform.data_dir), autocommit=True)
        self._redis = Redis.from_url(redis_url) if redis_url else None
        self._began = self._before = time.monotonic()
        self._cost = cpu_cost(platform.pids)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()
        await self._task
        self._database.close()
        if self._redis:
            self._redis.close()

    async def _watch(self) -> None:
        while not self._stopped.is_set():
            at = time.monotonic() - self._began
            self._recording.add("works under way", at, self._under_way())
            # Reading the memory maps of a process takes milliseconds.
            await asyncio.to_thread(self._look, at)
            rest = self._seconds_between - (time.monotonic() - self._began - at)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), max(0.1, rest))

    def _look(self, at: float) -> None:
        processes = self._platform.processes
        database = sum(self._look_at_process(at, name, number) for name, number in processes.items())
        self._recording.add("memory PostgreSQL", at, database / MEGABYTE)
        self._look_at_cost(at)
        self._look_at_database(at)
        if self._redis:
            found: dict[str, Any] = self._redis.info()  # type: ignore[assignment]
            self._recording.add("memory Redis", at, found["used_memory"] / MEGABYTE)
            # Without the sampler's own.
            self._recording.add("connections Redis", at, found["connected_clients"] - 1)

    def _look_at_process(self, at: float, name: str, number: int) -> int:
        """With what it has started, such as readers of documents. The memory of PostgreSQL below it, in bytes."""
        memory = database = descriptors = threads = 0
        for process in tree([number]):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                size = process.memory_full_info().pss
                if is_database(process):
                    database += size
                    continue
                memory += size
                descriptors += process.num_fds()
                threads += process.num_threads()
        self._recording.add(f"memory {name}", at, memory / MEGABYTE)
        self._recording.add(f"descriptors {name}", at, descriptors)
        self._recording.add(f"threads {name}", at, threads)
        return database

    def _look_at_cost(self, at: float) -> None:
        """Processors kept busy since the last look; of one of them 100 %."""
        now, cost = time.monotonic(), cpu_cost(self._platform.pids)
        spent: Cost = cost - self._cost
        lasted = now - self._before
        self._before, self._cost = now, cost
        self._recording.add("processor platform", at, 100 * spent.cpu / lasted)
        # A session that has ended since took its time with it.
        self._recording.add("processor PostgreSQL", at, max(0.0, 100 * spent.database_cpu / lasted))

    def _look_at_database(self, at: float) -> None:
        sessions, active, resting, oldest = self._row(SESSIONS)
        self._recording.add("connections", at, sessions)
        self._recording.add("connections active", at, active)
        self._recording.add("connections idle in transaction", at, resting)
        self._recording.add("oldest transaction", at, oldest)
        depth, waiting = self._row(QUEUE)
        self._recording.add("queue depth", at, depth)
        self._recording.add("queue oldest", at, waiting)
        count, behind = self._row(UNSEALED)
        self._recording.add("unsealed entries", at, count)
        self._recording.add("roll-up lag", at, behind)

    def _row(self, query: str) -> tuple[Any, ...]:
        found = self._database.execute(query.encode()).fetchone()
        assert found
        return found
