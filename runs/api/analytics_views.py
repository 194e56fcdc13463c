"""The routes of metrics and analytics. They tell how many, how long and how dear, and nothing of what was said."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib import plots
from agentplatform.lib.errors import NotFound
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.schema import failures
from agents.models import Agent
from runs.analytics import metrics, performance, pictures, sessions
from runs.analytics.comparing import compared
from runs.analytics.periods import Period
from runs.analytics.reading import Whose
from runs.api.analytics_serializers import (
    AgentMetricsQuerySerializer,
    AgentMetricsSerializer,
    ErrorsQuerySerializer,
    ErrorsSerializer,
    OverTimeQuerySerializer,
    PerformanceQuerySerializer,
    PerformanceSerializer,
    SystemMetricsSerializer,
    ZoneQuerySerializer,
)
from runs.api.session_usage_serializers import SessionCostSerializer, SessionTokensSerializer
from runs.models import Session

PLOT = OpenApiResponse(OpenApiTypes.STR, description="With `format=svg`: a plot.")
AGENT = OpenApiParameter("id", str, OpenApiParameter.PATH, description="Id or name of the agent.")
SESSION = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="Id of the session.")
DRAW = {
    "runs": pictures.runs,
    "tokens": pictures.tokens,
    "latency": pictures.latency,
    "success": pictures.success,
}


class AnalyticsViewSet(TenantViewSet):
    """Figures of what has ended: everybody's for those who may see them, otherwise one's own."""

    queryset = Agent.objects.all()
    filter_backends = []
    pagination_class = None
    permissions = {
        "agent": "read:metrics",
        "system": "read:metrics",
        "performance": "read:metrics",
        "errors": "read:metrics",
    }

    @extend_schema(
        operation_id="metrics_agent",
        parameters=[AGENT, AgentMetricsQuerySerializer],
        responses={
            (200, "application/json"): AgentMetricsSerializer,
            (200, "image/svg+xml"): PLOT,
            **failures(404, 422),
        },
        filters=False,
    )
    def agent(self, request: Request, pk: str) -> HttpResponseBase:
        """Read an agent's metrics

        Of its runs that ended in a period, as a whole and by hour, day or week of a time zone; on request compared
        with another period, or as a plot.
        """
        asked = self._asked(AgentMetricsQuerySerializer)
        period, other = asked.periods()
        agent: Agent = self.get_object()
        whose = Whose.of(self.actor).within(agent.pk)
        if asked.validated_data["format"] == "svg":
            return self._plot(asked, whose, period, agent.name)
        given = asked.validated_data
        found, series = metrics.runs_over_time(whose, period, given["granularity"], given["tz"])
        answer = {
            "agent_id": agent.pk,
            "period": period.as_json(),
            "granularity": given["granularity"],
            "tz": given["tz"],
            "metrics": found,
            "timeseries": series,
            **compared(found, other, lambda before: metrics.run_metrics(whose, before)),
        }
        return Response(AgentMetricsSerializer(answer).data)

    @extend_schema(
        operation_id="metrics_system",
        parameters=[ZoneQuerySerializer],
        responses={200: SystemMetricsSerializer, **failures(422)},
        filters=False,
    )
    def system(self, request: Request) -> Response:
        """Read the workspace's metrics

        How many agents and runs there are, and what has ended today.
        """
        time_zone = self._asked(ZoneQuerySerializer).validated_data["tz"]
        return Response(SystemMetricsSerializer(metrics.system(Whose.of(self.actor), time_zone)).data)

    @extend_schema(
        operation_id="analytics_performance",
        parameters=[PerformanceQuerySerializer],
        responses={
            (200, "application/json"): PerformanceSerializer,
            (200, "image/svg+xml"): PLOT,
            **failures(404, 422),
        },
        filters=False,
    )
    def performance(self, request: Request) -> HttpResponseBase:
        """Analyse performance

        How long runs, steps, model calls and tool calls took that ended in a period: by agent, workflow, type of
        step, model and tool, at most a hundred of each. Percentiles are right to 1 %. Who sees their own only is
        answered for whole days (UTC). As a plot: of runs, over time.
        """
        asked = self._asked(PerformanceQuerySerializer)
        period, other = asked.periods()
        whose, title = self._whose(asked)
        if asked.validated_data["format"] == "svg":
            return self._plot(asked, whose, period, title)
        period = whose.countable(period)
        found = performance.performance(whose, period)
        before = compared(
            performance.totals(whose, period) if other else {},
            other and whose.countable(other),
            lambda before: performance.totals(whose, before),
        )
        return Response(PerformanceSerializer({"period": period.as_json(), **found, **before}).data)

    @extend_schema(
        operation_id="analytics_errors",
        parameters=[ErrorsQuerySerializer],
        responses={200: ErrorsSerializer, **failures(404, 422)},
        filters=False,
    )
    def errors(self, request: Request) -> Response:
        """Analyse errors

        What failed in a period: runs by class, agent and workflow, calls by model and by tool; no messages.
        """
        asked = self._asked(ErrorsQuerySerializer)
        period, other = asked.periods()
        whose, _ = self._whose(asked)
        period, other = whose.countable(period), other and whose.countable(other)
        found = performance.errors(whose, period)
        of_runs = {name: found[name] for name in ("total_runs", "failed_runs", "error_rate")}
        before = compared(of_runs, other, lambda before: performance.error_totals(whose, before))
        return Response(ErrorsSerializer({"period": period.as_json(), **found, **before}).data)

    def _asked(self, serializer_class: Any) -> Any:
        """The query string, validated."""
        asked = serializer_class(data=self.request.query_params.dict())
        asked.is_valid(raise_exception=True)
        return asked

    def _whose(self, asked: Any) -> tuple[Whose, str]:
        """Whose figures, and the name of the agent that they are narrowed to."""
        whose, identifier = Whose.of(self.actor), asked.validated_data.get("agent")
        if not identifier:
            return whose, ""
        agent: Any = Agent.objects.named(self.actor, identifier)
        return whose.within(agent.pk), agent.name

    def _plot(
        self, asked: OverTimeQuerySerializer, whose: Whose, period: Period, title: str
    ) -> HttpResponseBase:
        given = asked.validated_data
        _, series = metrics.runs_over_time(whose, period, given["granularity"], given["tz"])
        draw = DRAW[given["plot"]]
        return plots.response(draw(series, given["granularity"], given["tz"], title))


class SessionUsageViewSet(TenantViewSet):
    """What a session has used: one's own, and everybody's for those who may see their figures."""

    queryset = Session.objects.all()
    filter_backends = []
    pagination_class = None
    permissions = {"tokens": "read:metrics", "cost": "read:metrics"}

    @extend_schema(
        operation_id="analytics_tokens",
        parameters=[SESSION],
        responses={200: SessionTokensSerializer, **failures(404)},
        filters=False,
    )
    def tokens(self, request: Request, pk: str) -> Response:
        """Count a session's tokens

        Of all its runs and of those that their tools have started, by model and by agent.
        """
        return Response(SessionTokensSerializer(sessions.tokens(self._session(pk, "read:all-metrics"))).data)

    @extend_schema(
        operation_id="analytics_cost",
        parameters=[SESSION],
        responses={200: SessionCostSerializer, **failures(404)},
        filters=False,
    )
    def cost(self, request: Request, pk: str) -> Response:
        """Sum up a session's cost

        Of all its runs and of those that their tools have started, by model and by agent, from the ledger. Other
        people's sessions need the permission to read usage.
        """
        return Response(SessionCostSerializer(sessions.cost(self._session(pk, "read:usage"))).data)

    def _session(self, pk: str, all_permission: str) -> Session:
        """Whoever may see figures of all need not be permitted to read what was said. Raises NotFound."""
        actor, key = self.actor, as_uuid(pk)
        whose = None if actor.may(all_permission) else actor.user_id
        session = sessions.session_of(actor.workspace_id, str(key), whose) if key else None
        if session is None:
            raise NotFound("Session", pk)
        return session
