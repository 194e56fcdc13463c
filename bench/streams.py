"""How soon events reach a follower: a lone stream's first, and the tokens of many streams at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.platform import Platform
from bench.statistics import percentile
from bench.workload import PACED_TOKENS, StreamedRun, chat

LONE_RUNS = 40
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class FirstEvent:
    """Milliseconds from the request to the first event and to the first token."""

    event_p50: float = 0.0
    event_p95: float = 0.0
    token_p50: float = 0.0
    token_p95: float = 0.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Delays over the ideal in milliseconds. `faults`: lost, doubled or late in order; failed runs."""

    delay_p50: float
    delay_p95: float
    tokens_per_second: float
    faults: int


async def first_event(platform: Platform, agent_id: str) -> FirstEvent:
    connection = await platform.connect()
    runs = [await chat(connection, agent_id) for _ in range(LONE_RUNS)]
    connection.close()
    events = [run.since_start_ms(run.stream.first_event_ns) for run in runs]
    tokens = [run.since_start_ms(run.stream.first_delta_ns) for run in runs]
    return FirstEvent(
        percentile(events, 50), percentile(events, 95), percentile(tokens, 50), percentile(tokens, 95)
    )


async def tokens(platform: Platform, agent_id: str, at_once: int) -> Tokens:
    """Each of `at_once` clients follows `ROUNDS` runs, one after the other; all of them begin together."""
    began = time.monotonic()
    followed = await asyncio.gather(*(_follow(platform, agent_id) for _ in range(at_once)))
    lasted = time.monotonic() - began
    runs = [run for client in followed for run in client]
    delays = [run.stream.delays_ms() for run in runs]
    flat = [delay for of_run in delays for delay in of_run.values()]
    return Tokens(
        delay_p50=percentile(flat, 50),
        delay_p95=percentile(flat, 95),
        tokens_per_second=len(flat) / lasted,
        faults=sum(map(_faults, runs)) + len(runs) * PACED_TOKENS - len(flat),
    )


async def _follow(platform: Platform, agent_id: str) -> list[StreamedRun]:
    connection = await platform.connect()
    runs = [await chat(connection, agent_id) for _ in range(ROUNDS)]
    connection.close()
    return runs


def _faults(run: StreamedRun) -> int:
    return run.stream.faults + (run.stream.ended_as != "run_completed")
