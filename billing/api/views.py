"""Usage and prices."""

from __future__ import annotations

from typing import Any

from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from accounts.models import Workspace
from agentplatform.lib.errors import Invalid
from agentplatform.lib.schema import failures
from billing import price_list, usage
from billing.api.filters import CallFilter, PriceFilter, UsageFilter
from billing.api.serializers import (
    AgentBreakdownSerializer,
    HistoryQuerySerializer,
    PriceSerializer,
    UsageHistorySerializer,
    UsageSerializer,
)
from billing.models import Price, UsageRecord

# Of one view's query string, beside the filters.
OTHER_PARAMETERS = frozenset({"format", "granularity", "tz"})


class UsageViewSet(TenantViewSet):
    """Sums over the workspace's settled model calls."""

    queryset = UsageRecord.objects.all()
    filter_backends = [DjangoFilterBackend]
    filterset_class = UsageFilter
    permissions = {"summary": "read:usage", "agent_breakdown": "read:usage", "history": "read:usage"}

    @extend_schema(responses={200: UsageSerializer, **failures(422)}, filters=True)
    def summary(self, request: Request) -> Response:
        """Sum up usage

        Totals of a period, as a whole, by model and by agent. The sum over an export with the same filters
        equals the totals.
        """
        chosen = self.chosen()
        answer = usage.summary(chosen.qs, chosen.period, self.currency())
        open_calls = CallFilter(request.query_params, self.get_queryset().open_calls()).qs
        return Response(UsageSerializer({**answer, "open_calls": usage.count_recent(open_calls)}).data)

    @extend_schema(responses={200: AgentBreakdownSerializer, **failures(422)}, filters=True)
    def agent_breakdown(self, request: Request) -> Response:
        """Break usage down by agent

        Totals of a period for each agent, and within it for each model.
        """
        chosen = self.chosen()
        answer = usage.agent_breakdown(chosen.qs, chosen.period, self.currency())
        return Response(AgentBreakdownSerializer(answer).data)

    @extend_schema(
        parameters=[HistoryQuerySerializer],
        responses={200: UsageHistorySerializer, **failures(422)},
        filters=True,
    )
    def history(self, request: Request) -> Response:
        """Read the history of usage

        Totals by hour, day, week or month, in the order of time; buckets without usage are left out.
        """
        chosen, query = self.chosen(), validated(HistoryQuerySerializer, request)
        answer = usage.history(chosen.qs, chosen.period, self.currency(), query["granularity"], query["tz"])
        return Response(UsageHistorySerializer(answer).data)

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

    def currency(self) -> str:
        return Workspace.objects.values_list("currency", flat=True).get(pk=self.actor.workspace_id)


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
