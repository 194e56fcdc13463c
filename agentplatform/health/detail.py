"""The figures of `/health/detailed`: null where nothing is measured, in `warnings` where past a threshold."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import psutil
from django.conf import settings
from django.db.models import Avg, DurationField, ExpressionWrapper, F, Sum
from django.db.models.functions import Now

from agentplatform.health.checks import (
    HEALTHY,
    NOT_CONFIGURED,
    TIMEOUT_SECONDS,
    UNHEALTHY,
    Check,
    Finding,
    Unhealthy,
)
from runs.live import hub
from runs.models import UNDER_WAY, Run, Status, Worker

Json = dict[str, Any]

MEGABYTE = 1024 * 1024
RECENT = timedelta(minutes=5)
RECENT_RUNS = 200
threshold_by_figure = {
    "avg_response_time_ms": 500,
    "agent_avg_query_time_ms": 2000,
    "error_rate_5min": 0.01,
    "active_connections": 1000,
}
LOWEST_CACHE_HIT_RATE = 0.8

_this_process = psutil.Process()
_this_process.cpu_percent()  # The first call only starts the measurement.


def look_at_redis() -> Json:
    if not settings.REDIS_URL:
        return {"status": NOT_CONFIGURED, "memory_usage_mb": None}
    # Twenty megabytes that a platform in one process does without.
    from redis import Redis

    with Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS) as client:
        memory: Any = client.info("memory")
    return {"memory_usage_mb": round(memory["used_memory"] / MEGABYTE, 1)}


def look_at_workers() -> Json:
    """All live workers together, and how long the last runs took from start to end."""
    places = Worker.objects.alive().aggregate(places=Sum("concurrency"))["places"]
    if places is None:
        raise Unhealthy("No worker is running.")
    return {
        "pool_size": places,
        "active_runners": Run.objects.filter(status__in=UNDER_WAY).count(),
        "avg_query_time_ms": _average_run_ms(),
    }


def _average_run_ms() -> float | None:
    taken = ExpressionWrapper(F("finished_at") - F("started_at"), DurationField())
    newest = Run.objects.order_by("-id").values("id")[:RECENT_RUNS]
    ended = Run.objects.filter(pk__in=newest, status=Status.COMPLETED, finished_at__gte=Now() - RECENT)
    average = ended.aggregate(average=Avg(taken))["average"]
    return round(average.total_seconds() * 1000, 1) if average is not None else None


redis = Check("redis", look_at_redis)
workers = Check("agent_runner", look_at_workers)


def detail(findings: dict[str, Finding]) -> Json:
    """What stands beside `status` and `timestamp`, made of the findings on database, redis and workers."""
    runner = findings["agent_runner"].figures
    performance = {
        "avg_response_time_ms": None,
        "agent_avg_query_time_ms": runner.get("avg_query_time_ms"),
        "cache_hit_rate": None,
        "active_connections": hub().followers,
        "error_rate_5min": None,
    }
    return {
        "checks": {name: _check_json(finding) for name, finding in findings.items()},
        "agent_status": {
            "runner_pool_size": runner.get("pool_size", 0),
            "active_connections": performance["active_connections"],
            "cache_hit_rate": None,
        },
        "performance": performance,
        "system_info": _system(),
        "warnings": past_threshold(performance),
    }


def _check_json(finding: Finding) -> Json:
    document = {"status": finding.status, "response_time_ms": finding.milliseconds, **finding.figures}
    return document | ({"message": finding.problem} if finding.problem else {})


def _system() -> Json:
    with _this_process.oneshot():
        return {
            "uptime_seconds": round(time.time() - _this_process.create_time(), 1),
            "memory_usage_mb": round(_this_process.memory_info().rss / MEGABYTE, 1),
            "cpu_usage_percent": _this_process.cpu_percent(),
        }


def past_threshold(figures: Json) -> list[str]:
    """The names of the figures that somebody should look at."""
    high = [name for name, most in threshold_by_figure.items() if (figures.get(name) or 0) > most]
    rate = figures.get("cache_hit_rate")
    return [*high, "cache_hit_rate"] if rate is not None and rate < LOWEST_CACHE_HIT_RATE else high


def overall(findings: dict[str, Finding], vital: str = "database") -> str:
    """Healthy when everything is, unhealthy without what is vital, degraded in between."""
    if findings[vital].status == UNHEALTHY:
        return UNHEALTHY
    return "degraded" if any(found.status == UNHEALTHY for found in findings.values()) else HEALTHY
