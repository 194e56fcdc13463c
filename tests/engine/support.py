"""Runs for engine tests: started as clients start them, and awaited to their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
from django.db import connection

from accounts.authentication import actor_from_session
from accounts.models import User
from agentplatform.lib.concurrency import in_thread
from agents.models import Agent
from billing.models import UsageRecord
from runs import commands
from runs.events import StoredEvent
from runs.follow import follow
from runs.models import Run

PROJECT = Path(__file__).resolve().parents[2]
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


async def entries_of(run: Run) -> list[tuple[str, str]]:
    """The run's entries in the ledger, as kind and status."""
    entries = UsageRecord.objects.filter(run_id=run.id).values_list("entry", "status")
    return sorted([entry async for entry in entries])


def data(event: StoredEvent) -> dict[str, Any]:
    return orjson.loads(event.data)


def types(events: list[StoredEvent]) -> list[str]:
    return [str(event.type) for event in events]


@contextmanager
def worker_process(**environment: str) -> Iterator[subprocess.Popen[str]]:
    """A real `manage.py run_worker` on the test database, ready to take runs. Killed at the end if it still lives."""
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "manage.py"), "run_worker"],
        env={
            **os.environ,
            "DATABASE_URL": _test_database_url(),
            "OUTBOUND_ALLOWED_HOSTS": "127.0.0.1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output = []
    try:
        for line in process.stdout:
            output.append(line)
            if "is ready" in line:
                break
        else:
            raise AssertionError("The worker did not start:\n" + "".join(output))
        # Read on, so that its output never fills the pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)


def _test_database_url() -> str:
    """DATABASE_URL with the name of the database that the tests run on."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
