"""The health routes. All but the detailed one are open, and say nothing that anybody may not know."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from accounts.actors import bind_to_logs
from accounts.authentication import actor_from_request
from accounts.permissions import PUBLIC
from agentplatform.health import checks, detail
from agentplatform.health.checks import UNHEALTHY, Finding
from agentplatform.lib.async_views import async_view, json_answer
from agentplatform.lib.concurrency import in_thread

PERMISSION = "read:usage"
NOW = "2026-11-21T10:30:00Z"
FINE = {"status": "healthy", "response_time_ms": 0.7}
HEALTHY = {
    "status": "healthy",
    "version": "0.1.0",
    "timestamp": NOW,
    "components": {"database": "healthy", "cache": "healthy", "llm": "healthy"},
}
READY = {
    "status": "ready",
    "timestamp": NOW,
    "checks": {"database": "ok", "migrations": "ok", "cache": "ok", "process": "ok"},
}
DETAIL = {
    "status": "healthy",
    "timestamp": NOW,
    "checks": {
        "database": {**FINE, "connection_pool": {"active": 1, "idle": 3}},
        "redis": {**FINE, "memory_usage_mb": 1.2},
        "agent_runner": {**FINE, "pool_size": 200, "active_runners": 3, "avg_query_time_ms": 812.5},
    },
    "agent_status": {"runner_pool_size": 200, "active_connections": 3, "cache_hit_rate": None},
    "performance": {
        "avg_response_time_ms": None,
        "agent_avg_query_time_ms": 812.5,
        "cache_hit_rate": None,
        "active_connections": 3,
        "error_rate_5min": None,
    },
    "system_info": {"uptime_seconds": 86412.0, "memory_usage_mb": 148.2, "cpu_usage_percent": 7.5},
    "warnings": [],
}


def shown(example: dict[str, Any], description: str) -> OpenApiResponse:
    """A response for the documentation: an object, by example."""
    return OpenApiResponse(
        {"type": "object", "additionalProperties": True}, description, [OpenApiExample("Example", example)]
    )


@async_view(
    "GET",
    permission=PUBLIC,
    operation_id="health",
    responses={
        200: shown(HEALTHY, "The database answers. `degraded`: something else does not."),
        503: shown({**HEALTHY, "status": "unhealthy"}, "The database does not answer."),
    },
)
async def health(request: HttpRequest) -> HttpResponseBase:
    """Ask whether the platform works

    `llm` says whether a model is configured; none is called. 503 when the database does not answer.
    """
    findings = await checks.ask_all(database=checks.database, cache=checks.shared_cache, llm=checks.models)
    status = detail.overall(findings)
    components = {name: finding.status for name, finding in findings.items()}
    return _answer(status != UNHEALTHY, status=status, version=settings.VERSION, components=components)


@async_view(
    "GET",
    permission=PERMISSION,
    operation_id="health_detailed",
    responses={200: shown(DETAIL, "Each component, with figures of the whole installation.")},
)
async def detailed(request: HttpRequest) -> HttpResponseBase:
    """Read the health in detail

    Figures that are not measured are null. `warnings` names those past their threshold: 500 ms for responses,
    2000 ms for runs, 80 % cache hits, 1 % errors, 1000 connections.
    """
    actor = await in_thread(actor_from_request, request)
    bind_to_logs(actor)
    actor.require(PERMISSION)
    findings = await checks.ask_all(database=checks.database, redis=detail.redis, agent_runner=detail.workers)
    status = detail.overall(findings)
    return _answer(status != UNHEALTHY, status=status, **detail.detail(findings))


@async_view(
    "GET",
    permission=PUBLIC,
    operation_id="health_liveness",
    responses={200: shown({"status": "alive", "timestamp": NOW}, "The process answers.")},
)
async def liveness(request: HttpRequest) -> HttpResponseBase:
    """Ask whether the process is alive

    Asks nothing else; whoever gets no answer should restart the process.
    """
    return _answer(True, status="alive")


@async_view(
    "GET",
    permission=PUBLIC,
    operation_id="health_readiness",
    parameters=[
        OpenApiParameter(
            "without",
            str,
            description="A check that whoever asks can do without: it is told, and changes nothing.",
        )
    ],
    responses={
        200: shown(READY, "Requests can be served."),
        503: shown({**READY, "status": "not_ready"}, "They cannot; `checks` says why."),
    },
)
async def readiness(request: HttpRequest) -> HttpResponseBase:
    """Ask whether requests can be served

    503, with what is missing, until the database, its migrations, the cache and this process's worker, if it
    has one, are ready; and again while the process stops. A proxy that all processes stand behind asks
    `?without=cache`: they share it, and answer without it, too.
    """
    findings = await checks.ask_all(
        database=checks.database, migrations=checks.migrations, cache=checks.shared_cache
    )
    problems = {name: _problem(finding) for name, finding in findings.items()}
    problems["process"] = checks.process_problem()
    dispensable = request.GET.get("without", "")
    is_ready = not any(problem for name, problem in problems.items() if name != dispensable)
    found = {name: problem or "ok" for name, problem in problems.items()}
    return _answer(is_ready, status="ready" if is_ready else "not_ready", checks=found)


def _problem(finding: Finding) -> str:
    return finding.problem if finding.status == UNHEALTHY else ""


def _answer(is_well: bool, **document: Any) -> HttpResponse:
    stamped = {"timestamp": datetime.now(UTC), **document}
    answer = json_answer(stamped, HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)
    answer["Cache-Control"] = "no-store"
    return answer


for _view in (health, liveness, readiness):
    # A stale token must not close them, and the documentation asks for none.
    _view.cls.authentication_classes = []  # type: ignore[attr-defined]
