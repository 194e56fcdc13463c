"""Usage: totals, breakdowns and histories."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.utils.functional import cached_property
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from accounts.models import Workspace
from accounts.roles import OWN_USAGE
from agentplatform.lib import plots
from agentplatform.lib.pagination import offset_of, whole_number
from agentplatform.lib.schema import failures
from billing import conditions, pictures, usage
from billing.api.serializers import (
    MOST_LISTED,
    MOST_SERIES,
    AgentBreakdownSerializer,
    BreakdownQuerySerializer,
    FormatQuerySerializer,
    HistoryQuerySerializer,
    UsageBreakdownSerializer,
    UsageHistorySerializer,
    UsageSerializer,
    shown,
)
from billing.grouping import Query
from billing.models import UsageRecord, sees_all_usage
from billing.selections import Selection
from billing.usage_filters import CallFilter, UsageFilter, select

# Of one view's query string, beside the filters.
OTHER_PARAMETERS = frozenset({"format", "granularity", "tz", "by", "group_by", "ordering", "limit", "offset"})
PLOT = OpenApiResponse(OpenApiTypes.STR, description="With `format=svg`: a plot.")


class UsageViewSet(TenantViewSet):
    """Sums over the workspace's settled model calls; over the own ones for who may not read all usage."""

    queryset = UsageRecord.objects.all()
    filter_backends = [DjangoFilterBackend]
    filterset_class = UsageFilter
    permissions = dict.fromkeys(("summary", "agent_breakdown", "breakdown", "history"), OWN_USAGE)

    @extend_schema(
        parameters=[FormatQuerySerializer],
        responses={
            (200, "application/json"): UsageSerializer,
            (200, "image/svg+xml"): PLOT,
            **failures(422),
        },
        filters=True,
    )
    def summary(self, request: Request) -> HttpResponseBase:
        """Sum up usage

        Totals of a period, as a whole, by model and by agent. The sum over an export with the same filters
        equals the totals. As a plot: cost by model.
        """
        chosen, form = self.chosen(), validated(FormatQuerySerializer, request)["format"]
        answer = usage.summary(self.selection(chosen), chosen.period, self.workspace.currency)
        if form == "svg":
            return plots.response(pictures.by_model(answer))
        open_calls = CallFilter(request.query_params, self.get_queryset().open_calls()).qs
        return Response(shown({**answer, "open_calls": usage.count_recent(open_calls)}))

    @extend_schema(
        parameters=[FormatQuerySerializer],
        responses={
            (200, "application/json"): AgentBreakdownSerializer,
            (200, "image/svg+xml"): PLOT,
            **failures(422),
        },
        filters=True,
    )
    def agent_breakdown(self, request: Request) -> HttpResponseBase:
        """Break usage down by agent

        Totals of a period for each agent, and within it for each model.
        """
        chosen, form = self.chosen(), validated(FormatQuerySerializer, request)["format"]
        answer = usage.agent_breakdown(self.selection(chosen), chosen.period, self.workspace.currency)
        if form == "svg":
            return plots.response(pictures.by_agent(answer))
        return Response(shown(answer))

    @extend_schema(
        parameters=[BreakdownQuerySerializer],
        responses={200: UsageBreakdownSerializer, **failures(422)},
        filters=True,
    )
    def breakdown(self, request: Request) -> Response:
        """Break usage down

        Totals of a period by agent, provider, model, workflow, user, API key, tag, session or status, or by two of
        them: a page of groups, and the rest as one. A call with several tags counts in each of them.
        """
        limit, offset = whole_number(request, "limit", 100, 1, MOST_LISTED), offset_of(request)
        chosen, query = self.chosen(), validated(BreakdownQuerySerializer, request)
        answer = usage.breakdown(
            self.selection(chosen), chosen.period, self.workspace.currency, Query(**query)
        )
        page = {
            "limit": limit,
            "offset": offset,
            "has_more": answer["total"] is None or offset + len(answer["groups"]) < answer["total"],
        }
        return Response(shown({**answer, **page}))

    @extend_schema(
        parameters=[HistoryQuerySerializer],
        responses={
            (200, "application/json"): UsageHistorySerializer,
            (200, "image/svg+xml"): PLOT,
            **failures(422),
        },
        filters=True,
    )
    def history(self, request: Request) -> HttpResponseBase:
        """Read the history of usage

        Totals by hour, day, week, month, quarter or year, in the order of time; buckets without usage are left out.
        With `group_by` also those of the groups that are first in the period as a whole, and of all others as one.
        """
        limit = whole_number(request, "limit", 5, 1, MOST_SERIES)
        chosen, query = self.chosen(), validated(HistoryQuerySerializer, request)
        of = (
            self.selection(chosen),
            chosen.period,
            self.workspace.currency,
            query["granularity"],
            query.get("tz", self.workspace.time_zone),
        )
        if query["format"] == "svg":
            return plots.response(pictures.history(usage.history(*of)))
        if group := query.get("group_by"):
            asked = Query((group,), query["ordering"], limit)
            return Response(shown(usage.history_by(*of, asked)))
        return Response(shown(usage.history(*of)))

    def selection(self, chosen: UsageFilter) -> Selection:
        """What these filters narrow the calls to that the actor may see."""
        narrowed = conditions.conditions(self.actor.workspace_id, chosen.form.cleaned_data)
        if not sees_all_usage(self.actor):
            narrowed.append(conditions.own(self.actor.user_id))
        return Selection(self.actor.workspace_id, chosen.period.span, narrowed)

    def chosen(self) -> UsageFilter:
        """The settled entries that the query string asks for. Raises Invalid where it is not clear."""
        return select(self.request.query_params, self.get_queryset().settled(), beside=OTHER_PARAMETERS)

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace.objects.only("currency", "time_zone").get(pk=self.actor.workspace_id)


def validated(serializer_class: Any, request: Request) -> dict[str, Any]:
    """The query string's values. Raises a validation error that names the parameter."""
    serializer = serializer_class(data=request.query_params)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
