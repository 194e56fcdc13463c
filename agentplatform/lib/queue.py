"""The task queue: a thin layer over Procrastinate, so that no other module knows it.

A job is only a wake-up that carries an id; the row it names is the truth. Jobs are deferred through
Django's connection, so that they exist exactly when the transaction that made them commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any

import orjson
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from procrastinate import App, JobContext
from procrastinate.contrib.django import app as queue_app
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from procrastinate.contrib.django.utils import connector_params
from procrastinate.psycopg_connector import PsycopgConnector
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from agentplatform.lib.housekeeping import keep_house
from agentplatform.lib.outboxes import follow_outboxes

# Safety nets below LISTEN/NOTIFY, which does the real waking: a lost notification costs this many seconds.
FETCH_SECONDS = 0.5
ABORT_SECONDS = 1.0

task = queue_app.task

# What `configure_task(...).defer(...)` ends in, without its bookkeeping: starting a run is the hottest request.
_DEFER = """
SELECT unnest(procrastinate_defer_jobs_v1(
    ARRAY[ROW(%s, %s, %s, NULL, NULL, %s::jsonb, NULL)::procrastinate_job_to_defer_v1]
))
"""


def defer(task_name: str, *, queue: str, priority: int = 0, **arguments: Any) -> int:
    """Puts a job into the queue as part of the current transaction; answers the job's id."""
    with connection.cursor() as cursor:
        cursor.execute(_DEFER, [queue, task_name, priority, orjson.dumps(arguments).decode()])
        return int(cursor.fetchone()[0])


def abort(job_id: int) -> None:
    """Takes a waiting job away, or cancels the asyncio task of a running one, when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT procrastinate_cancel_job_v1(%s, true, true)", [job_id])


def forget(job_ids: Iterable[int]) -> None:
    """Deletes jobs whatever their state: those that a lost worker had taken."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = ANY(%s)", [list(job_ids)])


def jobs_that_wake(job_id: Any, seconds: float) -> QuerySet[Any]:
    """The job with this id (a value or an expression) as long as it wakes somebody.

    It does while it waits, and for `seconds` after a worker has taken it.
    """
    since = Now() - timedelta(seconds=seconds)
    just_taken = ProcrastinateEvent.objects.filter(job=OuterRef("pk"), type="started", at__gt=since)
    return ProcrastinateJob.objects.filter(~Q(status="doing") | Exists(just_taken), pk=job_id)


def _worker_connector() -> PsycopgConnector:
    """A small pool of its own, apart from Django's."""
    return PsycopgConnector(pool_factory=_pool, kwargs=connector_params(), min_size=1, max_size=4)


def _pool(**options: Any) -> AsyncConnectionPool:
    """Each statement its own transaction; a broken connection shows in its next query, not by asking before each."""
    return AsyncConnectionPool(**{**options, "check": None, "configure": _commit_each_statement})


async def _commit_each_statement(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)


async def work(
    queues: list[str],
    *,
    concurrency: int,
    drain_seconds: float,
    context: dict[str, Any],
    ready: Callable[[], None],
) -> None:
    """Takes jobs of `queues` until cancelled; then waits `drain_seconds` for those in hand and aborts the rest.

    Does the chores and works off the outboxes meanwhile, which are no jobs: somebody would have to put them into the
    queue now and then.
    Raises whatever ended it early, for example a lost database connection.
    """
    connector = _worker_connector()
    app: App = queue_app.with_connector(connector)
    beside = [
        asyncio.create_task(keep_house(), name="chores"),
        asyncio.create_task(follow_outboxes(), name="outboxes"),
    ]
    try:
        async with app.open_async():
            if (current := asyncio.current_task()) and current.cancelling():
                # Cancelled while it opened: opening a pool may swallow that, and it would work for ever.
                raise asyncio.CancelledError
            ready()
            await app.run_worker_async(
                queues=queues,
                concurrency=concurrency,
                wait=True,
                fetch_job_polling_interval=FETCH_SECONDS,
                abort_job_polling_interval=ABORT_SECONDS,
                shutdown_graceful_timeout=drain_seconds,
                delete_jobs="always",
                additional_context=context,
                # Procrastinate's own would look after Django's connections around each job; ours look after themselves.
                task_middleware=[],
                install_signal_handlers=False,
            )
    finally:
        for task in beside:
            task.cancel()
        # Cancelled while it opened, the pool is still there, and its tasks ignore being cancelled.
        await connector.close_async()
        await asyncio.gather(*beside, return_exceptions=True)


Task = Callable[..., Awaitable[None]]
__all__ = ["App", "JobContext", "abort", "defer", "forget", "jobs_that_wake", "task", "work"]
