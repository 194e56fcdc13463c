"""Prices, periods that are priced anew, and whether all sums agree with the ledger."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.filtering import refuse_unknown
from agentplatform.lib.schema import failures
from billing import price_list
from billing.api.filters import PriceFilter, RepricingFilter
from billing.api.price_serializers import (
    PriceSerializer,
    ReconciliationQuerySerializer,
    ReconciliationSerializer,
    RepricingSerializer,
)
from billing.api.views import validated
from billing.models import Price, Repricing, UsageRecord
from billing.reconciliation import Scope, reconcile


class PriceViewSet(
    TenantViewSet,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    mixins.ListModelMixin,
):
    """Prices that the workspace sets itself, and those it has imported. They go before the built-in list.

    A price is never edited: a new one takes over from its `valid_from` on, and one from the same moment is its next
    version. One that is not in force yet can be deleted.
    """

    queryset = Price.objects.with_superseded()
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


class RepricingViewSet(
    TenantViewSet, mixins.CreateModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin
):
    """Periods whose calls are priced anew."""

    queryset = Repricing.objects.select_related("workspace")
    serializer_class = RepricingSerializer
    filterset_class = RepricingFilter
    ordering_fields = ["created_at"]
    permissions = {"list": "read:price", "retrieve": "read:price", "create": "write:price"}

    @extend_schema(responses={202: RepricingSerializer, **failures(409, 422)})
    def create(self, request: Request) -> Response:
        """Reprice a period

        A worker prices the calls of a period anew, by the prices as they are known now for each call's own moment.
        Nothing is overwritten: a call whose cost changes gets a reversal and a replacement in the ledger, with the
        call's own `timestamp` and the next `revision`, and its run's totals follow. Answers from the cache, and calls
        without a known price, stay. With `dry_run` nothing is written, and `sums` say what would be. One period of a
        workspace at a time (409).
        """
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save(workspace_id=self.actor.workspace_id, user_id=self.actor.user_id)
        return Response(serializer.data, status=202)


class ReconciliationViewSet(TenantViewSet):
    """Whether all sums agree with the ledger."""

    queryset = UsageRecord.objects.all()
    pagination_class = None
    permissions = {"compare": "export:usage"}

    @extend_schema(
        parameters=[ReconciliationQuerySerializer],
        responses={200: ReconciliationSerializer, **failures(422)},
        filters=False,
    )
    def compare(self, request: Request) -> Response:
        """Reconcile the ledger

        Compares the ledger with everything that was made of it (totals of runs and sessions, corrections, the
        export …), group by group and exactly, in one snapshot of the database, and names what differs.
        """
        refuse_unknown(request.query_params, ["start", "end"])
        period = validated(ReconciliationQuerySerializer, request)
        scope = Scope(self.actor.workspace_id, self.actor.workspace_slug, period["start"], period["end"])
        outcomes = list(reconcile(scope))
        agrees = not any(outcome.differing for outcome in outcomes)
        answer = {"period": period, "agrees": agrees, "roads": outcomes}
        return Response(ReconciliationSerializer(answer).data)
