"""Where asynchronous code meets Django's synchronous database layer: once, here."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import connections
from psycopg_pool import PoolTimeout

from agentplatform.lib.outage import Outage

P = ParamSpec("P")
T = TypeVar("T")

# As many threads as queries can usefully be under way; each holds a pooled connection only while it works.
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="database")
# While nobody gets a connection, these few threads would all be waiting for one, and the callers for them.
_outage = Outage(PoolTimeout, "The database gave nobody a connection a moment ago.")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs synchronous database code on a thread of a small shared pool and gives its connection back after.

    Raises PoolTimeout where the database gives no connection, at once when that was so a moment ago.
    """
    context = contextvars.copy_context()
    call = partial(_run, context, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool, call)


def _run(context: contextvars.Context, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        with _outage.noticed():
            return context.run(function, *args, **kwargs)
    finally:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
