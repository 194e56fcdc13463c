"""What narrows lists of prices, repricings, budgets and exports."""

from __future__ import annotations

from django_filters import rest_framework as filters

from agentplatform.lib.filtering import BooleanFilter
from billing.budgets.scope import FIELDS
from billing.models import Budget, Price, Repricing, UsageExport


class PriceFilter(filters.FilterSet):
    source = filters.CharFilter(label="`workspace`, or the list that it was imported from.")

    class Meta:
        model = Price
        fields = ["provider", "model", "source"]


class RepricingFilter(filters.FilterSet):
    dry_run = BooleanFilter()

    class Meta:
        model = Repricing
        fields = ["status", "dry_run"]


class BudgetFilter(filters.FilterSet):
    enabled = BooleanFilter()

    class Meta:
        model = Budget
        fields = ["period", "action", "enabled", *FIELDS]


class UsageExportFilter(filters.FilterSet):
    class Meta:
        model = UsageExport
        fields = ["status", "format"]
