"""Usage, its export, and prices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpResponseBase
from django.utils.functional import cached_property
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import mixins
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from accounts.models import Workspace
from accounts.roles import OWN_USAGE
from agentplatform.lib.csv_stream import csv_response, require_room
from agentplatform.lib.errors import Invalid
from agentplatform.lib.pagination import offset_of, whole_number
from agentplatform.lib.schema import failures
from billing import breakdowns, conditions, exports, price_list, usage
from billing.api.filters import CallFilter, PriceFilter, UsageFilter
from billing.api.serializers import (
    MOST_LISTED,
    MOST_SERIES,
    AgentBreakdownSerializer,
    BreakdownQuerySerializer,
    ExportQuerySerializer,
    HistoryQuerySerializer,
    PriceSerializer,
    UsageBreakdownSerializer,
    UsageHistorySerializer,
    UsageSerializer,
    shown,
)
from billing.models import Price, UsageRecord, sees_all_usage
from billing.selections import Selection

# Of one view's query string, beside the filters.
OTHER_PARAMETERS = frozenset({"format", "granularity", "tz", "by", "group_by", "ordering", "limit", "offset"})
CSV_RESPONSE = OpenApiResponse(
    OpenApiTypes.STR, "The rows, the header first.", [OpenApiExample("One call", value=exports.EXAMPLE)]
)


class UsageViewSet(TenantViewSet):
    """Sums over the workspace's settled model calls; over the own ones for who may not read all usage."""

    queryset = UsageRecord.objects.all()
    filter_backends = [DjangoFilterBackend]
    filterset_class = UsageFilter
    permissions = dict.fromkeys(("summary", "agent_breakdown", "breakdown", "history"), OWN_USAGE)

    @extend_schema(responses={200: UsageSerializer, **failures(422)}, filters=True)
    def summary(self, request: Request) -> Response:
        """Sum up usage

        Totals of a period, as a whole, by model and by agent. The sum over an export with the same filters
        equals the totals.
        """
        chosen = self.chosen()
        answer = usage.summary(self.selection(chosen), chosen.period, self.workspace.currency)
        open_calls = CallFilter(request.query_params, self.get_queryset().open_calls()).qs
        return Response(shown({**answer, "open_calls": usage.count_recent(open_calls)}))

    @extend_schema(responses={200: AgentBreakdownSerializer, **failures(422)}, filters=True)
    def agent_breakdown(self, request: Request) -> Response:
        """Break usage down by agent

        Totals of a period for each agent, and within it for each model.
        """
        chosen = self.chosen()
        answer = usage.agent_breakdown(self.selection(chosen), chosen.period, self.workspace.currency)
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
            self.selection(chosen), chosen.period, self.workspace.currency, breakdowns.Query(**query)
        )
        page = {
            "limit": limit,
            "offset": offset,
            "has_more": offset + len(answer["groups"]) < answer["total"],
        }
        return Response(shown({**answer, **page}))

    @extend_schema(
        parameters=[HistoryQuerySerializer],
        responses={200: UsageHistorySerializer, **failures(422)},
        filters=True,
    )
    def history(self, request: Request) -> Response:
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
        if group := query.get("group_by"):
            asked = breakdowns.Query((group,), query["ordering"], limit)
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
        filters = UsageFilter(self.request.query_params, self.get_queryset().settled())
        # A filter that is misspelt and ignored would make wrong sums look right.
        if unknown := self.request.query_params.keys() - filters.filters.keys() - OTHER_PARAMETERS:
            known = ", ".join(filters.filters)
            raise Invalid(
                dict.fromkeys(sorted(unknown), f"There is no such filter; the filters are: {known}.")
            )
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        return filters

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace.objects.only("currency", "time_zone").get(pk=self.actor.workspace_id)


class WhateverIsAccepted(BaseContentNegotiation):
    """For a view that answers one media type: neither `Accept` nor `?format=` chooses how its errors look."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class UsageExportViewSet(UsageViewSet):
    """The ledger as a file."""

    permissions = {"export": "export:usage"}
    content_negotiation_class = WhateverIsAccepted
    # HEAD would read the whole export and throw it away.
    http_method_names = ["get", "options"]

    @extend_schema(
        parameters=[ExportQuerySerializer],
        responses={(200, "text/csv"): CSV_RESPONSE, **failures(422, 429)},
        filters=True,
    )
    def export(self, request: Request) -> HttpResponseBase:
        """Export usage as CSV

        One row per settled model call in order of time, streamed however long it is. Times are UTC, amounts
        plain decimals. What spreadsheets take for a formula (text that begins with =, +, - or @) has an
        apostrophe before it. If the connection breaks off before the end, the file is not complete.
        """
        validated(ExportQuerySerializer, request)
        require_room()
        chosen, slug = self.chosen(), self.actor.workspace_slug
        stream = exports.usage_csv(chosen.qs, slug, of_one_run=chosen.is_of_one_run)
        return csv_response(stream, exports.filename(slug, chosen.period))


class PriceViewSet(
    TenantViewSet,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    mixins.ListModelMixin,
):
    """Prices that the workspace sets itself. They go before the built-in list.

    A price is never edited: a new one takes over from its `valid_from` on. One that is not in force yet can
    be deleted.
    """

    queryset = Price.objects.all()
    serializer_class = PriceSerializer
    filterset_class = PriceFilter
    search_fields = ["provider", "model"]
    ordering_fields = ["provider", "model", "valid_from"]
    permissions = {
        "list": "read:price",
        "retrieve": "read:price",
        "create": "write:price",
        "destroy": "write:price",
    }

    def perform_destroy(self, instance: Price) -> None:
        price_list.withdraw(instance)


def validated(serializer_class: Any, request: Request) -> dict[str, Any]:
    """The query string's values. Raises a validation error that names the parameter."""
    serializer = serializer_class(data=request.query_params)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
