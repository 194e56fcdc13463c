"""Budgets, what is spent of them, and their past."""

from __future__ import annotations

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantModelViewSet
from agentplatform.lib import plots
from agentplatform.lib.schema import failures
from billing import pictures
from billing.api.budget_serializers import (
    BudgetPeriodSerializer,
    BudgetSerializer,
    BudgetStatusSerializer,
    BurntSerializer,
)
from billing.api.filters import BudgetFilter
from billing.api.serializers import FormatQuerySerializer
from billing.budgets import counters, editing
from billing.models import Budget

BUDGET_ID = OpenApiParameter("id", str, OpenApiParameter.PATH, description="Id or name.")


class BudgetViewSet(TenantModelViewSet):
    """What the workspace, or a part of what it does, may spend in an hour, day, week, month or at all.

    Before each model call the most that it may cost is set aside in every budget that it counts for. Where there is no
    room, a budget that blocks refuses the call, and one that pauses has the run rest until there is; one that alerts
    only tells.
    """

    queryset = Budget.objects.select_related("created_by")
    serializer_class = BudgetSerializer
    filterset_class = BudgetFilter
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "period"]
    permissions = {
        "list": "read:budget",
        "retrieve": "read:budget",
        "status": "read:budget",
        "history": "read:budget",
        "burnt": "read:budget",
        "create": "write:budget",
        "update": "write:budget",
        "partial_update": "write:budget",
        "destroy": "write:budget",
    }

    def perform_destroy(self, instance: Budget) -> None:
        editing.delete(instance)

    @extend_schema(
        parameters=[FormatQuerySerializer],
        responses={
            (200, "application/json"): BurntSerializer,
            (200, "image/svg+xml"): OpenApiResponse(
                OpenApiTypes.STR, description="With `format=svg`: a plot."
            ),
            **failures(422),
        },
        filters=False,
    )
    def burnt(self, request: Request) -> HttpResponseBase:
        """Read how far budgets are burnt

        The enabled budgets and how many percent of each are spent in its present period, the most spent first.
        """
        query = FormatQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        found = counters.burnt([self.actor.workspace_id])
        if query.validated_data["format"] == "svg":
            return plots.response(pictures.burnt(found))
        budgets = [
            {"budget_id": budget.pk, "name": budget.name, "percent": percent} for budget, percent in found
        ]
        return Response(BurntSerializer({"budgets": budgets}).data)

    @extend_schema(responses={200: BudgetStatusSerializer, **failures(404)}, filters=False)
    def status(self, request: Request, pk: str) -> Response:
        """Read what is spent of a budget

        Of its present period: spent, set aside for calls under way, what remains, and when the next one begins.
        """
        budget = self.get_object()
        counter = counters.present([budget])[budget.pk]
        return Response(BudgetStatusSerializer(counters.status(counter)).data)

    @extend_schema(responses={200: BudgetPeriodSerializer(many=True), **failures(404)}, filters=False)
    def history(self, request: Request, pk: str) -> Response:
        """List a budget's periods

        Those in which something was spent, the newest first.
        """
        budget = self.get_object()
        page = self.paginate_queryset(counters.history(budget))
        rows = [counters.period(counters.as_counter(row, budget)) for row in page or ()]
        return self.get_paginated_response(BudgetPeriodSerializer(rows, many=True).data)
