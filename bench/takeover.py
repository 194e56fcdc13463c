"""How long runs stand still when their worker is killed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.platform import Platform
from bench.stream import RunStream
from bench.workload import chat

RUNS = 10


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Seconds from the kill until the last of `runs` runs goes on (infinite if none had to); `lost` never ended."""

    runs: int
    slowest: float
    lost: int


async def take_over(platform: Platform, agent_id: str, *, has_standby: bool) -> TakeOver:
    """Kills a worker of slow runs (SIGKILL). Another one shares the work, or is started at that moment."""
    worker = platform.newest_worker
    if has_standby:
        await asyncio.to_thread(platform.start_worker)
    streams = [RunStream() for _ in range(RUNS * (1 + has_standby))]
    clients = [asyncio.create_task(_follow(platform, agent_id, stream)) for stream in streams]
    while not all(stream.arrivals for stream in streams):
        await asyncio.sleep(0.05)
    worker.kill()
    worker.wait()
    killed_ns = time.monotonic_ns()
    if not has_standby:
        platform.launch_worker()
    await asyncio.gather(*clients)
    waits = [(stream.taken_over_ns - killed_ns) / 1e9 for stream in streams if stream.taken_over_ns]
    lost = sum(stream.ended_as != "run_completed" for stream in streams)
    return TakeOver(len(waits), max(waits, default=float("inf")), lost)


async def _follow(platform: Platform, agent_id: str, stream: RunStream) -> None:
    connection = await platform.connect()
    await chat(connection, agent_id, stream)
    connection.close()
