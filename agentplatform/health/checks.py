"""Looking at the components, each in a thread of its own, with a time limit: no dead one hangs an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection, connections

from agentplatform.asgi import process
from agentplatform.lib.ids import uuid7
from agentplatform.migrating import missing_migrations
from agents.models import ChatModel
from runs.live import hub

# Whoever asks is answered within two seconds, whatever the component does.
TIMEOUT_SECONDS = 1.5
HEALTHY, UNHEALTHY, NOT_CONFIGURED = "healthy", "unhealthy", "not_configured"

logger = structlog.get_logger(__name__)


class Unhealthy(Exception):
    """What is wrong, in words that may be shown to anybody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How a component was found. `figures` are what else the look has brought."""

    status: str
    milliseconds: float
    problem: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


class Check:
    """One component's check. While a look is under way further probes wait for it and never pile up.

    A look has a thread of its own that nobody waits for, so that one which hangs does not keep the process from ending.
    """

    def __init__(self, name: str, look: Callable[[], dict[str, Any]]) -> None:
        self.name = name
        self._look = look
        self._pending: Future[Finding] | None = None

    async def ask(self) -> Finding:
        if self._pending is None or self._pending.done():
            self._pending = Future()
            Thread(target=self._work, args=(self._pending,), daemon=True, name=f"health-{self.name}").start()
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._pending)), TIMEOUT_SECONDS)
        except TimeoutError:
            problem = f"It has not answered within {TIMEOUT_SECONDS:g} seconds."
            return Finding(UNHEALTHY, TIMEOUT_SECONDS * 1000, problem)

    def _work(self, pending: Future[Finding]) -> None:
        pending.set_running_or_notify_cancel()
        pending.set_result(self._find())

    def _find(self) -> Finding:
        started = time.perf_counter()
        status, problem, figures = HEALTHY, "", {}
        try:
            figures = self._look()
            status = figures.pop("status", HEALTHY)
        except Unhealthy as error:
            status, problem = UNHEALTHY, str(error)
        except Exception as error:
            # What exactly it said may name hosts and users: that is for the log.
            logger.warning("health_check_failed", component=self.name, error=str(error))
            status, problem = UNHEALTHY, "It does not answer."
        finally:
            connections.close_all()
        return Finding(status, round((time.perf_counter() - started) * 1000, 2), problem, figures)


def look_at_database() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    pool = getattr(connection, "pool", None)
    if pool is None:
        return {}
    measures = pool.get_stats()
    size, idle = measures.get("pool_size", 0), measures.get("pool_available", 0)
    return {"connection_pool": {"active": size - idle, "idle": idle}}


def look_at_cache() -> dict[str, Any]:
    key = f"health:{uuid7()}"
    cache.set(key, "here", 10)
    if cache.get(key) != "here":
        raise Unhealthy("It does not keep what it is given.")
    cache.delete(key)
    return {}


def look_at_models() -> dict[str, Any]:
    """Without a call: that would cost money with each probe."""
    return {} if ChatModel.objects.filter(enabled=True).exists() else {"status": NOT_CONFIGURED}


class MigrationsLook:
    """Whether all migrations are applied. Once they are, this process need not ask again."""

    def __init__(self) -> None:
        self._complete = False

    def __call__(self) -> dict[str, Any]:
        if not self._complete and (missing := missing_migrations()):
            raise Unhealthy(f"{len(missing)} migrations are still to be applied.")
        self._complete = True
        return {}


def process_problem() -> str:
    """Why this process should get no requests (yet, or any more); empty when it should. On the event loop."""
    if process.leaving or hub().draining:
        return "The process is stopping."
    if settings.EMBEDDED_WORKER and not (process.worker and process.worker.ready.is_set()):
        return "The worker is not ready yet."
    return ""


database = Check("database", look_at_database)
shared_cache = Check("cache", look_at_cache)
models = Check("llm", look_at_models)
migrations = Check("migrations", MigrationsLook())


async def ask_all(**checks: Check) -> dict[str, Finding]:
    """All at once, by name."""
    findings = await asyncio.gather(*(check.ask() for check in checks.values()))
    return dict(zip(checks, findings, strict=True))
