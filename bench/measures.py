"""Which figures are taken, of which configuration, and how they become the table's rows."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from bench import admin_lists, limit, reads, scale, streams, workflows
from bench.endpoint import Endpoint
from bench.limit import Limit
from bench.platform import Platform
from bench.processes import Cost
from bench.reads import reads_per_second
from bench.streams import FirstEvent, Tokens
from bench.takeover import TakeOver, take_over
from bench.throughput import Load, Throughput, throughput
from bench.workflows import WorkflowFigures
from bench.workload import PACED_MODEL, TEXT_MODEL, Agents, create_agents

AT_ONCE = (1, 16, 64)
STREAMS = (1, 50, 200)
COUNTED_RUNS = 1000
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long single figures are measured, in seconds, and whether a million rows are loaded."""

    seconds: float
    scale: bool


@dataclass(slots=True)
class Figures:
    """What was measured of one configuration."""

    first_start: float = 0.0
    second_start: float = 0.0
    idle: Cost = field(default_factory=Cost)
    after_runs: Cost = field(default_factory=Cost)
    after_twice: Cost = field(default_factory=Cost)
    first_event: FirstEvent = field(default_factory=FirstEvent)
    throughput: dict[int, Throughput] = field(default_factory=dict)
    tokens: dict[int, Tokens] = field(default_factory=dict)
    agent_reads: float = 0.0
    list_reads: float = 0.0
    restarted: TakeOver | None = None
    standby: TakeOver | None = None
    export: scale.Export | None = None
    export_of_lines: scale.Export | None = None
    page_completed: scale.Page | None = None
    page_failed: scale.Page | None = None
    admin_lists: list[admin_lists.Visit] = field(default_factory=list)


@dataclass(slots=True)
class Limits:
    """What the bare loop reaches, by how many at once; `stock` with LangChain's model client as it comes. And what
    workflows cost without the platform around them.
    """

    text: dict[int, Limit] = field(default_factory=dict)
    paced: dict[int, Limit] = field(default_factory=dict)
    stock: dict[int, Limit] = field(default_factory=dict)
    workflows: WorkflowFigures = field(default_factory=WorkflowFigures)


def say(message: str) -> None:
    print(f"… {message}", file=sys.stderr, flush=True)


def measure_limits(endpoint: Endpoint, effort: Effort) -> Limits:
    limits = Limits()
    for at_once in AT_ONCE:
        say(f"bare loop, {at_once} at once")
        limits.text[at_once] = limit.measure(endpoint.base_url, TEXT_MODEL, at_once, effort.seconds)
    for at_once in STREAMS:
        say(f"bare loop, {at_once} streams")
        limits.paced[at_once] = limit.measure(endpoint.base_url, PACED_MODEL, at_once, effort.seconds)
    for at_once in AT_ONCE:
        say(f"bare loop with LangChain's own model client, {at_once} at once")
        limits.stock[at_once] = limit.measure(
            endpoint.base_url, TEXT_MODEL, at_once, effort.seconds, stock=True
        )
    say("workflows: validation, compilation, expressions")
    limits.workflows = workflows.measure()
    return limits


async def measure_platform(platform: Platform, endpoint: Endpoint, effort: Effort) -> Figures:
    """All figures of one configuration. What fills its tables comes last."""
    figures = Figures()
    await _measure_starts(platform, figures)
    agents = await create_agents(platform, endpoint.base_url)
    await Load(platform, agents.text).make(3, at_once=1)
    figures.idle = platform.memory()
    say("first event of a lone stream")
    figures.first_event = await streams.first_event(platform, agents.text)
    await _measure_throughput(platform, endpoint, agents, effort, figures)
    for at_once in STREAMS:
        say(f"{at_once} streams")
        figures.tokens[at_once] = await streams.tokens(platform, agents.paced, at_once)
    if platform.has_worker_apart:
        await _measure_take_over(platform, agents, figures)
    else:
        await _measure_reads(platform, agents, effort, figures)
        if effort.scale:
            await _measure_scale(platform, figures)
    return figures


async def measure_scale_only(platform: Platform, endpoint: Endpoint) -> Figures:
    """Only what is measured at a million rows."""
    figures = Figures()
    await platform.start()
    agents = await create_agents(platform, endpoint.base_url)
    await Load(platform, agents.text).make(3, at_once=1)
    await reads.fill(platform, "bench-text")
    await _measure_scale(platform, figures)
    return figures


async def _measure_starts(platform: Platform, figures: Figures) -> None:
    say("starting the platform over an empty folder, and again")
    figures.first_start = await platform.start()
    platform.stop()
    figures.second_start = await platform.start()


async def _measure_throughput(
    platform: Platform, endpoint: Endpoint, agents: Agents, effort: Effort, figures: Figures
) -> None:
    load = Load(platform, agents.text)
    await load.make(COUNTED_RUNS, at_once=16)
    figures.after_runs = platform.memory()
    for at_once in AT_ONCE:
        say(f"durable streamed runs, {at_once} at once")
        figures.throughput[at_once] = await throughput(
            platform, endpoint, agents.text, at_once, effort.seconds
        )
    await load.make(COUNTED_RUNS, at_once=16)
    figures.after_twice = platform.memory()


async def _measure_take_over(platform: Platform, agents: Agents, figures: Figures) -> None:
    say("killing a worker while another one works")
    figures.standby = await take_over(platform, agents.slow, has_standby=True)
    say("killing a worker, and starting another then")
    figures.restarted = await take_over(platform, agents.slow, has_standby=False)


async def _measure_reads(platform: Platform, agents: Agents, effort: Effort, figures: Figures) -> None:
    say("reads among 1,000 agents")
    await reads.fill(platform, "bench-text")
    figures.agent_reads = await reads_per_second(platform, f"/agents/{agents.text}", effort.seconds)
    figures.list_reads = await reads_per_second(platform, "/agents?limit=20", effort.seconds)


async def _measure_scale(platform: Platform, figures: Figures) -> None:
    say("loading 1,000,000 usage records and 1,000,000 runs")
    scale.fill(platform)
    say("export of 1,000,000 usage records")
    figures.export = await scale.export(platform)
    figures.export_of_lines = await scale.export(platform, "jsonl")
    say("first page of 1,000,000 runs")
    figures.page_completed = await scale.first_page(platform, "completed")
    figures.page_failed = await scale.first_page(platform, "failed")
    say("loading 1,000,000 sessions and 1,000,000 entries of the audit log")
    await admin_lists.fill(platform)
    say("the admin's lists")
    figures.admin_lists = await admin_lists.measure(platform)
