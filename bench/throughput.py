"""Durable, streamed runs per second: as many at once as wanted, each begun when the one before has ended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.endpoint import Endpoint
from bench.platform import Platform
from bench.statistics import percentile
from bench.workload import TEXT, StreamedRun, chat

WARM_UP_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Throughput:
    """Latencies and processor time per run in ms. `faulty` runs failed, lost or doubled something."""

    runs: int
    faulty: int
    runs_per_second: float
    p50: float
    p95: float
    platform_cpu_ms: float
    database_cpu_ms: float
    endpoint_cpu_ms: float
    client_cpu_ms: float


class Load:
    """Clients that keep a number of runs under way."""

    def __init__(self, platform: Platform, agent_id: str) -> None:
        self._platform = platform
        self._agent_id = agent_id
        self.finished: list[StreamedRun] = []

    async def keep(self, at_once: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        await asyncio.gather(*(self._client(deadline) for _ in range(at_once)))

    async def make(self, runs: int, at_once: int) -> None:
        """Makes this many runs."""
        wanted = len(self.finished) + runs
        await asyncio.gather(*(self._client_until(wanted) for _ in range(at_once)))

    async def _client(self, deadline: float) -> None:
        connection = await self._platform.connect()
        while time.monotonic() < deadline:
            self.finished.append(await chat(connection, self._agent_id))
        connection.close()

    async def _client_until(self, wanted: int) -> None:
        connection = await self._platform.connect()
        while len(self.finished) < wanted:
            self.finished.append(await chat(connection, self._agent_id))
        connection.close()


async def throughput(
    platform: Platform, endpoint: Endpoint, agent_id: str, at_once: int, seconds: float
) -> Throughput:
    """Runs that began and ended within the window count; so do their costs."""
    load = Load(platform, agent_id)
    await load.keep(at_once, WARM_UP_SECONDS)
    load.finished.clear()
    began = time.monotonic()
    cost, endpoint_cpu, client_cpu = platform.cpu(), endpoint.cpu(), time.process_time()
    await load.keep(at_once, seconds)
    client_cpu, lasted = time.process_time() - client_cpu, time.monotonic() - began
    cost, endpoint_cpu = platform.cpu() - cost, endpoint.cpu() - endpoint_cpu
    runs = load.finished
    latencies = [run.latency_ms for run in runs]
    return Throughput(
        runs=len(runs),
        faulty=sum(not run.stream.is_whole(TEXT) for run in runs),
        runs_per_second=len(runs) / lasted,
        p50=percentile(latencies, 50),
        p95=percentile(latencies, 95),
        platform_cpu_ms=cost.cpu * 1000 / len(runs),
        database_cpu_ms=cost.database_cpu * 1000 / len(runs),
        endpoint_cpu_ms=endpoint_cpu * 1000 / len(runs),
        client_cpu_ms=client_cpu * 1000 / len(runs),
    )
