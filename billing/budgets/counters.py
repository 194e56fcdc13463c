"""What was spent of budgets: to read, and to compare with the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from agentplatform.lib.locks import lock_name
from billing.budgets import room
from billing.budgets.notices import parts
from billing.budgets.periods import EVER, PeriodStart, end_of
from billing.budgets.room import Counter
from billing.budgets.scope import IS_OF
from billing.models import Budget, BudgetPeriod, BudgetReservation

# In one statement, so that both sums are of one moment: what the ledger has, and what the counter has of it.
_DRIFT = f"""
SELECT
    COALESCE(sum(entry.cost) FILTER (WHERE entry.currency = budget.currency), 0)
        - COALESCE(max(counter.spent_amount), 0),
    COALESCE(sum(entry.input_tokens + entry.output_tokens), 0) - COALESCE(max(counter.spent_tokens), 0)
FROM billing_budget budget
LEFT JOIN billing_budgetperiod counter ON counter.budget_id = budget.id AND counter.period_start = %(start)s
LEFT JOIN billing_usagerecord entry ON {IS_OF} AND entry.entry = 'settled'
    AND entry.timestamp >= %(start)s AND (%(end)s::timestamptz IS NULL OR entry.timestamp < %(end)s)
WHERE budget.id = %(budget)s
"""  # noqa: S608
_CORRECT = """
INSERT INTO billing_budgetperiod AS counter (budget_id, period_start, period_end, spent_amount, spent_tokens)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (budget_id, period_start) DO UPDATE SET
    spent_amount = counter.spent_amount + EXCLUDED.spent_amount,
    spent_tokens = counter.spent_tokens + EXCLUDED.spent_tokens
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much the ledger has more than a budget's counter in one period, and reservations more than it has."""

    budget: Budget
    period_start: datetime
    period_end: datetime | None
    amount: Decimal
    tokens: int
    reserved_amount: Decimal
    reserved_tokens: int

    def __bool__(self) -> bool:
        return any((self.amount, self.tokens, self.reserved_amount, self.reserved_tokens))


def compare(budget: Budget, period_start: datetime) -> Difference:
    """What the counter of a period should be more than it is."""
    row = BudgetPeriod.objects.filter(budget=budget, period_start=period_start).first()
    end = row.period_end if row else end_of(period_start, budget.period, budget.time_zone)
    with connection.cursor() as cursor:
        cursor.execute(_DRIFT, {"budget": budget.pk, "start": period_start, "end": end})
        amount, tokens = cursor.fetchone()
    held = BudgetReservation.objects.filter(budget=budget, period_start=period_start)
    sums = held.aggregate(amount=Sum("amount", default=Decimal(0)), tokens=Sum("tokens", default=0))
    return Difference(
        budget,
        period_start,
        end,
        amount,
        int(tokens),
        sums["amount"] - (row.reserved_amount if row else 0),
        sums["tokens"] - (row.reserved_tokens if row else 0),
    )


def recount(budget: Budget, period_start: datetime) -> Difference:
    """Takes what was spent in a period from the ledger; answers what was wrong.

    Nobody waits for the sum: the ledger's trigger goes on counting meanwhile, so only the difference is added.
    """
    with transaction.atomic():
        # Twice at once would add it twice.
        lock_name(f"budget {budget.pk}")
        found = compare(budget, period_start)
        if found.amount or found.tokens:
            with connection.cursor() as cursor:
                values: list[Any] = [budget.pk, period_start, found.period_end, found.amount, found.tokens]
                cursor.execute(_CORRECT, values)
    return found


def present_start(budget: Budget, now: datetime) -> datetime:
    """When its present period began."""
    start: datetime = (
        Budget.objects.filter(pk=budget.pk)
        .annotate(began=PeriodStart(now))
        .values_list("began", flat=True)
        .get()
    )
    return start


def present(budgets: Iterable[Budget], now: datetime | None = None) -> dict[uuid.UUID, Counter]:
    """Their present periods, by id of the budget; those that are disabled are counted, too."""
    return room.counters([budget.pk for budget in budgets], now or timezone.now(), disabled=True)


def percent(counter: Counter) -> Decimal:
    """How much is spent of the limit that is nearer to its end, with one decimal place."""
    return max(parts(counter).values()).quantize(Decimal("0.1"))


def status(counter: Counter) -> dict[str, Any]:
    """The present period as the API shows it."""
    budget = counter.budget
    return {
        "budget_id": budget.pk,
        "period": budget.period,
        "time_zone": budget.time_zone,
        "currency": budget.currency,
        "start": None if counter.period_start == EVER else counter.period_start,
        "resets_at": counter.resets_at,
        **_figures(counter),
    }


def history(budget: Budget) -> Any:
    """Its periods, the newest first."""
    return BudgetPeriod.objects.filter(budget=budget).order_by("-period_start")


def as_counter(row: BudgetPeriod, budget: Budget) -> Counter:
    return Counter(
        budget,
        row.period_start,
        row.period_end,
        row.spent_amount,
        row.reserved_amount,
        row.spent_tokens,
        row.reserved_tokens,
    )


def period(counter: Counter) -> dict[str, Any]:
    """A period of the history as the API shows it."""
    start = None if counter.period_start == EVER else counter.period_start
    return {"start": start, "end": counter.resets_at, **_figures(counter)}


def burnt(workspace_ids: Iterable[uuid.UUID]) -> list[tuple[Budget, Decimal]]:
    """The enabled budgets of these workspaces and how many percent of each are spent, the most spent first."""
    budgets = Budget.objects.filter(workspace_id__in=list(workspace_ids), enabled=True)
    found = [(counter.budget, percent(counter)) for counter in present(budgets).values()]
    return sorted(found, key=lambda pair: (-pair[1], pair[0].name))


def _figures(counter: Counter) -> dict[str, Any]:
    budget = counter.budget
    used_amount = counter.spent_amount + counter.reserved_amount
    used_tokens = counter.spent_tokens + counter.reserved_tokens
    return {
        "spent_amount": counter.spent_amount,
        "reserved_amount": counter.reserved_amount,
        "remaining_amount": None
        if budget.limit_amount is None
        else max(budget.limit_amount - used_amount, Decimal(0)),
        "spent_tokens": counter.spent_tokens,
        "reserved_tokens": counter.reserved_tokens,
        "remaining_tokens": None
        if budget.limit_tokens is None
        else max(budget.limit_tokens - used_tokens, 0),
        "percent": percent(counter),
    }
