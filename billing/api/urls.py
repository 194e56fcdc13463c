"""Paths of the room, without a trailing slash."""

from django.urls import path

from billing.api.budget_views import BudgetViewSet
from billing.api.export_views import UsageExportViewSet, UsageStreamViewSet
from billing.api.ledger_views import LedgerViewSet
from billing.api.price_views import PriceViewSet, ReconciliationViewSet, RepricingViewSet
from billing.api.views import UsageViewSet

urlpatterns = [
    path("billing/budgets", BudgetViewSet.as_view({"get": "list", "post": "create"}), name="budgets"),
    path("billing/budgets/burnt", BudgetViewSet.as_view({"get": "burnt"}), name="budgets-burnt"),
    path(
        "billing/budgets/<str:pk>",
        BudgetViewSet.as_view(
            {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
        ),
        name="budget",
    ),
    path("billing/budgets/<str:pk>/status", BudgetViewSet.as_view({"get": "status"}), name="budget-status"),
    path(
        "billing/budgets/<str:pk>/history", BudgetViewSet.as_view({"get": "history"}), name="budget-history"
    ),
    path("billing/usage", UsageViewSet.as_view({"get": "summary"}), name="usage"),
    path("billing/agent-breakdown", UsageViewSet.as_view({"get": "agent_breakdown"}), name="usage-by-agent"),
    path("billing/usage/breakdown", UsageViewSet.as_view({"get": "breakdown"}), name="usage-breakdown"),
    path("billing/usage/history", UsageViewSet.as_view({"get": "history"}), name="usage-history"),
    path("billing/usage/export", UsageStreamViewSet.as_view({"get": "export"}), name="usage-export"),
    path(
        "billing/exports",
        UsageExportViewSet.as_view({"get": "list", "post": "create"}),
        name="usage-exports",
    ),
    path(
        "billing/exports/<str:pk>/manifest",
        UsageExportViewSet.as_view({"get": "manifest"}),
        name="usage-export-manifest",
    ),
    path(
        "billing/exports/<str:pk>/download",
        UsageExportViewSet.as_view({"get": "download"}),
        name="usage-export-download",
    ),
    path(
        "billing/exports/<str:pk>/verify",
        UsageExportViewSet.as_view({"post": "verify"}),
        name="usage-export-verify",
    ),
    path(
        "billing/exports/<str:pk>",
        UsageExportViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="usage-export-job",
    ),
    path("billing/ledger/head", LedgerViewSet.as_view({"get": "read_head"}), name="ledger-head"),
    path(
        "billing/ledger/verification",
        LedgerViewSet.as_view({"get": "verify_rows"}),
        name="ledger-verification",
    ),
    path("billing/prices", PriceViewSet.as_view({"get": "list", "post": "create"}), name="prices"),
    path(
        "billing/prices/<str:pk>",
        PriceViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="price",
    ),
    path(
        "billing/repricings", RepricingViewSet.as_view({"get": "list", "post": "create"}), name="repricings"
    ),
    path("billing/repricings/<str:pk>", RepricingViewSet.as_view({"get": "retrieve"}), name="repricing"),
    path("billing/reconciliation", ReconciliationViewSet.as_view({"get": "compare"}), name="reconciliation"),
]
