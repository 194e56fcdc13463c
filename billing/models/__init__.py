"""What it costs: the ledger and what is made of it, prices, budgets, exports."""

from billing.models.budgets import Budget, BudgetHold, BudgetNotice, BudgetPeriod, BudgetReservation
from billing.models.exports import UsageExport
from billing.models.ledger import (
    Entry,
    LedgerName,
    LedgerSeal,
    OpenCall,
    Outcome,
    UnsealedUsage,
    UsageQuerySet,
    UsageRecord,
    sees_all_usage,
)
from billing.models.prices import Price, PriceQuerySet, Repricing
from billing.models.rollups import UsageGroup, UsageLifetime, UsageRollup

__all__ = [
    "Budget",
    "BudgetHold",
    "BudgetNotice",
    "BudgetPeriod",
    "BudgetReservation",
    "Entry",
    "LedgerName",
    "LedgerSeal",
    "OpenCall",
    "Outcome",
    "Price",
    "PriceQuerySet",
    "Repricing",
    "UnsealedUsage",
    "UsageExport",
    "UsageGroup",
    "UsageLifetime",
    "UsageQuerySet",
    "UsageRecord",
    "UsageRollup",
    "sees_all_usage",
]
