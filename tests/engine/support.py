"""Runs for engine tests: started as clients start them, and awaited to their end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import orjson
from django.db import connection

from accounts.authentication import actor_from_session
from accounts.models import User
from agentplatform.lib.concurrency import in_thread
from agents.models import Agent
from billing.models import UsageRecord
from runs import commands
from runs.engine.worker import Worker
from runs.events import StoredEvent
from runs.follow import follow
from runs.models import AT_REST, Run

PATIENCE_SECONDS = 30


async def start(user: User, agent: Agent, text: str = "hello", **wishes: Any) -> Run:
    """A queued run of `agent`, started by `user`."""
    return await in_thread(start_now, user, agent, text, **wishes)


def start_now(user: User, agent: Agent, text: str = "hello", **wishes: Any) -> Run:
    """The same from synchronous code."""
    request = commands.RunRequest([{"role": "user", "content": text}], agent=agent.name, **wishes)
    return commands.start_run(actor_from_session(user, agent.workspace_id), request).run


async def events_of(run_id: uuid.UUID, after: int = 0) -> list[StoredEvent]:
    """All events of a run, followed to its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [event async for batch in follow(run_id, after) for event in batch]


async def finished(run: Run) -> Run:
    """The run after its end."""
    await events_of(run.id)
    return await Run.objects.aget(pk=run.pk)


async def until(run: Run, condition: Callable[[Run], bool]) -> Run:
    """The run as soon as the condition holds for it."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(now := await Run.objects.aget(pk=run.pk)):
                await asyncio.sleep(0.01)
    except TimeoutError:
        told = [event.type async for event in run.events.order_by("seq")]
        raise AssertionError(f"It is {now.status}, after {told}; error: {now.error}") from None
    return now


async def at_rest(run: Run) -> Run:
    """The run as soon as it is paused or waits."""
    return await until(run, lambda now: now.status in AT_REST)


async def let_go(worker: Worker) -> None:
    """Returns when the worker has nothing in hand."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while worker.executor.running:
            await asyncio.sleep(0.01)


def jobs() -> list[tuple[str, str]]:
    """What is left in the queue: the tasks' names and arguments."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_name, args::text FROM procrastinate_jobs ORDER BY id")
        return cursor.fetchall()


async def last_event(run: Run, kind: str) -> dict[str, Any]:
    """The data of the run's last event of this kind."""
    event = await run.events.filter(type=kind).order_by("-seq").afirst()
    assert event, f"It has told of no {kind}."
    return event.data


async def entries_of(run: Run) -> list[tuple[str, str]]:
    """The run's entries in the ledger, as kind and status."""
    entries = UsageRecord.objects.filter(run_id=run.id).values_list("entry", "status")
    return sorted([entry async for entry in entries])


def data(event: StoredEvent) -> dict[str, Any]:
    return orjson.loads(event.data)


def types(events: list[StoredEvent]) -> list[str]:
    return [str(event.type) for event in events]
