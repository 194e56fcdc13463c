"""From an empty folder to a recording: start, load, settle, count."""

from __future__ import annotations

import asyncio
import datetime
import os
import platform as machine
import time

import psutil
import psycopg

from agentplatform.database import embedded_url
from bench.endpoint import Endpoint
from bench.ledger import Ledger
from bench.measures import say
from bench.platform import Platform
from bench.soak.agents import prepare
from bench.soak.load import Load
from bench.soak.receiver import Receiver
from bench.soak.recording import Point, Recording, percentiles
from bench.soak.samples import Sampler
from bench.soak.work import Found, Work

# About half of what two cores carry.
PER_SECOND = 10.0
# Compiled agents, prepared statements, pools, and the arenas of the allocator are filled in that time; the figures of
# the first minutes stand in the plots.
WARM_UP_SECONDS = 180.0
SECONDS_BETWEEN_SAMPLES = 5.0
SETTLED_WITHIN_SECONDS = 120.0
# A new webhook may miss what happens in its first seconds.
WEBHOOK_KNOWN_SECONDS = 4.0

UNENDED = "SELECT count(*) FROM runs_run WHERE status NOT IN ('completed', 'failed', 'cancelled')"
FAILED = "SELECT count(*) FROM runs_run WHERE status = 'failed'"
HOLES = """
    SELECT count(*) FROM (
        SELECT run_id FROM runs_runevent GROUP BY run_id HAVING count(*) <> max(seq) OR min(seq) <> 1
    ) holed
"""
QUEUE_WAITS = """
    SELECT extract(epoch FROM begun.timestamp)::float,
        extract(epoch FROM begun.timestamp - queued.timestamp)::float * 1000
    FROM runs_runevent queued JOIN runs_runevent begun USING (run_id)
    WHERE queued.seq = 1 AND queued.type = 'run_queued' AND begun.type = 'run_started'
"""


async def soaked(endpoint: Endpoint, redis_url: str, seconds: float, per_second: float) -> Recording:
    """With a Redis there are a web process and two workers, without one a single process."""
    recording = Recording(_about(redis_url, per_second), seconds, warm_up_of(seconds))
    async with Platform(redis_url) as platform, Receiver() as receiver:
        say("starting the platform")
        await platform.start()
        if redis_url:
            await asyncio.to_thread(platform.start_worker)
        connection = await platform.connect()
        agents = await prepare(connection, endpoint.base_url, receiver.url)
        connection.close()
        await asyncio.sleep(WEBHOOK_KNOWN_SECONDS)
        found = Found()
        load = Load(Work(platform, agents, found), found, per_second)
        between = min(SECONDS_BETWEEN_SAMPLES, seconds / 10)
        async with Sampler(platform, recording, redis_url, between, lambda: load.under_way):
            began = time.time()
            say(f"{per_second:g} works a second for {seconds / 60:g} minutes")
            await load.keep(seconds)
        say("settling")
        await _settled(platform, receiver, found)
        await asyncio.to_thread(_count, platform, receiver, found, recording, began)
    _reduce(found, recording)
    if redis_url:
        recording.series["memory web and workers"] = together(recording)
    for failure in found.failures[:20]:
        say(failure)
    return recording


def warm_up_of(seconds: float) -> float:
    """A short trial has a third of its time for it, which is not enough for its slopes to mean anything."""
    return min(WARM_UP_SECONDS, seconds / 3)


def _about(redis_url: str, per_second: float) -> dict[str, str]:
    now = datetime.datetime.now(datetime.UTC)
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": f"{now:%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GB, {machine.system()}, Python {machine.python_version()};"
        " client, model endpoint, database and platform share it",
        "processes": "web and two workers, with Redis" if redis_url else "one",
        "load": f"{per_second:g} works a second, begun whether those before have ended or not",
    }


async def _settled(platform: Platform, receiver: Receiver, found: Found) -> None:
    """Until all runs have ended, all entries are rolled up and all messages have come, or patience is over."""
    until = time.monotonic() + SETTLED_WITHIN_SECONDS
    with psycopg.connect(embedded_url(platform.data_dir), autocommit=True) as database:
        while time.monotonic() < until:
            unended = _number(database, UNENDED)
            unsealed = _number(database, "SELECT count(*) FROM billing_unsealedusage")
            if not unended and not unsealed and not _without_message(receiver, found):
                return
            await asyncio.sleep(0.5)


def _count(platform: Platform, receiver: Receiver, found: Found, recording: Recording, began: float) -> None:
    counts = recording.counts
    with psycopg.connect(embedded_url(platform.data_dir), autocommit=True) as database:
        counts["runs"] = _number(database, "SELECT count(*) FROM runs_run")
        counts["events"] = _number(database, "SELECT count(*) FROM runs_runevent")
        counts["runs that failed"] = _number(database, FAILED)
        counts["runs that did not end"] = _number(database, UNENDED)
        counts["runs whose stored events have a hole"] = _number(database, HOLES)
        waits = [(at - began, waited) for at, waited in database.execute(QUEUE_WAITS.encode()).fetchall()]
    for percent in (50, 95):
        recording.series[f"queue wait p{percent}"] = percentiles(waits, recording.seconds, percent)
    counts["works"] = sum(map(len, found.durations.values())) + len(found.failures)
    counts["runs that are missing or were begun twice"] = abs(counts["runs"] - found.runs)
    counts["works that failed"] = len(found.failures)
    counts["events lost, doubled or out of order"] = found.holes
    counts["runs whose webhook message is missing"] = len(_without_message(receiver, found))
    counts["groups of the ledger that differ"] = Ledger(platform).reconcile()[1]
    recording.about["done"] = (
        f"{counts['works']:,} works with {counts['runs']:,} runs of {counts['events']:,} events"
    )


def _without_message(receiver: Receiver, found: Found) -> set[str]:
    return found.ended - receiver.ended.keys()


def _number(database: psycopg.Connection[tuple[int]], query: str) -> int:
    row = database.execute(query.encode()).fetchone()
    assert row
    return row[0]


def _reduce(found: Found, recording: Recording) -> None:
    """What clients have seen, as percentiles over time."""
    for percent in (50, 95):
        seconds = recording.seconds
        recording.series[f"event lag p{percent}"] = percentiles(found.event_lags, seconds, percent)
        for kind in ("chat", "tool", "session", "read"):
            points = found.durations.get(kind, [])
            recording.series[f"latency {kind} p{percent}"] = percentiles(points, seconds, percent)


def together(recording: Recording) -> list[Point]:
    """The memory of the platform's own processes."""
    totals: dict[float, float] = {}
    for name in recording.named("memory "):
        if name not in ("memory PostgreSQL", "memory Redis"):
            for at, value in recording.series[name]:
                totals[at] = totals.get(at, 0.0) + value
    return sorted(totals.items())
