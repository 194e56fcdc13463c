"""What Prometheus is told that only the database knows: runs, the queue, workers.

Asked at most every few seconds, on a thread of its own and with a time limit, however many ask for `/metrics`. Each
figure comes from a small index, whatever number of runs there is: those that have ended are no part of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, QuerySet, Sum
from procrastinate.contrib.django.models import ProcrastinateJob
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agentplatform.health.checks import HEALTHY, Check, Finding
from runs.models import TERMINAL, Run, Status, Worker
from runs.queueing import figures as queue_figures

FRESH_SECONDS = 5.0
# Below the time limit of whoever asks.
STATEMENT_TIMEOUT = "SET LOCAL statement_timeout = '1200ms'"
NOT_ENDED = [status for status in Status if status not in TERMINAL]


def look() -> dict[str, Any]:
    """`{runs: {status: count}, queue: …, jobs: {queue: count}, workers, places}`."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(STATEMENT_TIMEOUT)
        workers = Worker.objects.alive().aggregate(workers=Count("pk"), places=Sum("concurrency"))
        return {
            "runs": dict(counted(not_ended(), "status")),
            "queue": queue_figures.figures(Run.objects.all()),
            "jobs": dict(counted(ProcrastinateJob.objects.filter(status="todo"), "queue_name")),
            "workers": workers["workers"],
            "places": workers["places"] or 0,
        }


def not_ended() -> QuerySet[Any]:
    """Said just as the condition of the index `run_of_model` has it."""
    return Run.objects.exclude(status__in=TERMINAL)


def counted(rows: QuerySet[Any], field: str) -> QuerySet[Any, tuple[str, int]]:
    return rows.order_by().values_list(field).annotate(count=Count("pk"))


class DatabaseFigures:
    """The last look, while it is fresh."""

    def __init__(self) -> None:
        self._check = Check("metrics", look)
        self._found: Finding | None = None
        self._found_at = 0.0

    async def ask(self) -> Finding:
        if self._found is None or time.monotonic() - self._found_at > FRESH_SECONDS:
            self._found = await self._check.ask()
            self._found_at = time.monotonic()
        return self._found


class Snapshot(Collector):
    """A collector of prometheus-client, of one finding."""

    def __init__(self, found: Finding) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        is_up = self._found.status == HEALTHY
        yield _gauge("build_info", "1; the version is a label.", {(settings.VERSION,): 1}, "version")
        yield _gauge("database_up", "Whether the database has answered in time.", {(): int(is_up)})
        if is_up:
            yield from _families(self._found.figures)


def _families(found: Mapping[str, Any]) -> Iterable[Metric]:
    runs, queue = found["runs"], found["queue"]
    yield _gauge(
        "runs",
        "Runs that have not ended, by status.",
        {(str(status),): runs.get(status, 0) for status in NOT_ENDED},
        "status",
    )
    yield _gauge("queue_depth", "Runs that wait for a worker.", {(): queue["depth"]})
    yield _gauge(
        "queue_oldest_wait_seconds",
        "How long the oldest of them has waited; 0 where none waits.",
        {(): queue["oldest_wait_seconds"] or 0.0},
    )
    yield _gauge("queue_held_back", "Those that wait for their workspace's limit.", {(): queue["held_back"]})
    yield _gauge(
        "queue_behind_in_session", "Runs behind another of their session.", {(): queue["behind_in_session"]}
    )
    jobs = {(name,): count for name, count in found["jobs"].items()}
    yield _gauge("jobs_waiting", "Jobs in the queue, those for later included.", jobs, "queue")
    yield _gauge("workers", "Workers whose pulse has not stopped.", {(): found["workers"]})
    yield _gauge("workers_places", "Runs that all workers can have in hand at once.", {(): found["places"]})


def _gauge(name: str, text: str, values: Mapping[tuple[Any, ...], float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"agentplatform_{name}", text, labels=labels)
    for at, value in values.items():
        family.add_metric(at, value)
    return family


database_figures = DatabaseFigures()
