"""Reads per second of one agent, and of a list of 20 among 1,000."""

from __future__ import annotations

import asyncio
import time

from bench.connection import Connection
from bench.platform import API, Platform
from bench.statistics import percentile

AGENTS = 1000
CLIENTS = 16


async def fill(platform: Platform, model: str) -> None:
    """Creates agents until there are 1,000."""
    connection = await platform.connect()
    total = (await connection.request("GET", f"{API}/agents?limit=1", expect=200)).json()["total"]
    connection.close()
    numbers = iter(range(total, AGENTS))

    async def create() -> None:
        own = await platform.connect()
        for number in numbers:
            agent = {
                "name": f"agent-{number}",
                "model": model,
                "system_prompt": "Answer briefly.",
                "tools": [],
            }
            await own.request("POST", f"{API}/agents", agent, expect=201)
        own.close()

    await asyncio.gather(*(create() for _ in range(CLIENTS)))


async def reads_per_second(platform: Platform, path: str, seconds: float) -> float:
    """With 16 clients at once, each reading again as soon as it has its answer."""
    began = time.monotonic()
    counts = await asyncio.gather(*(_read(platform, path, began + seconds) for _ in range(CLIENTS)))
    return sum(counts) / (time.monotonic() - began)


async def _read(platform: Platform, path: str, deadline: float) -> int:
    connection = await platform.connect()
    count = 0
    while time.monotonic() < deadline:
        await connection.request("GET", f"{API}{path}", expect=200)
        count += 1
    connection.close()
    return count


async def read_latencies(connection: Connection, path: str, times: int) -> tuple[float, float]:
    """p50 and p95 in milliseconds of reads of the API one after the other."""
    return await page_latencies(connection, f"{API}{path}", times)


async def page_latencies(connection: Connection, path: str, times: int) -> tuple[float, float]:
    """The same of any page."""
    latencies = []
    for _ in range(times):
        began = time.monotonic()
        await connection.request("GET", path, expect=200)
        latencies.append((time.monotonic() - began) * 1000)
    return percentile(latencies, 50), percentile(latencies, 95)
