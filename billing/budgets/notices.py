"""Levels of budgets that were reached: what runs, webhooks and mails say of them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from billing.budgets.periods import end_of
from billing.budgets.room import EXCEEDED, Counter, figures
from billing.models import Budget, BudgetNotice

WARNING = "budget.warning"
EXCEEDS = "budget.exceeded"
BATCH = 100

_OF_RUNS = """
UPDATE billing_budgetnotice SET in_run = TRUE WHERE NOT in_run AND run_id = ANY(%s)
RETURNING budget_id, period_start, level, run_id, spent_amount, spent_tokens
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """A level that was reached, with its budget."""

    budget: Budget
    period_start: datetime
    level: int
    run_id: uuid.UUID | None
    spent_amount: Decimal
    spent_tokens: int

    @property
    def type(self) -> str:
        return EXCEEDS if self.level >= EXCEEDED else WARNING

    @property
    def data(self) -> dict[str, Any]:
        """What events and messages say: the figures of the limit that is nearer to its end."""
        resets_at = end_of(self.period_start, self.budget.period, self.budget.time_zone)
        counter = Counter(
            *(self.budget, self.period_start, resets_at),
            spent_amount=self.spent_amount,
            spent_tokens=self.spent_tokens,
        )
        shown = figures(counter, nearest_limit(counter))
        del shown["reserved"]
        return {**shown, "level": self.level, "action": self.budget.action}


def nearest_limit(counter: Counter) -> str:
    """`amount` or `tokens`: of which limit a larger part is used."""
    return max(parts(counter), key=lambda name: parts(counter)[name])


def parts(counter: Counter) -> dict[str, Decimal]:
    """By limit, how many percent of it are spent."""
    budget = counter.budget
    found = {}
    if budget.limit_amount is not None:
        found["amount"] = counter.spent_amount * 100 / budget.limit_amount
    if budget.limit_tokens is not None:
        found["tokens"] = Decimal(counter.spent_tokens * 100) / budget.limit_tokens
    return found


def of_runs(run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[dict[str, Any]]]:
    """What calls of these runs have reached and their events have not told yet; it counts as told from now on."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_RUNS, [list(run_ids)])
        rows = cursor.fetchall()
    budgets = Budget.objects.in_bulk({row[0] for row in rows}) if rows else {}
    told: defaultdict[uuid.UUID, list[dict[str, Any]]] = defaultdict(list)
    for budget_id, *values in sorted(rows, key=lambda row: (row[0], row[1], row[2])):
        notice = Notice(budgets[budget_id], *values)
        assert notice.run_id
        told[notice.run_id].append(notice.data)
    return told


def untold(now: datetime) -> list[Notice]:
    """The next of which webhooks have not heard; they count as told when the caller's transaction commits.

    A mail of each is due where somebody is to get one.
    """
    rows = (
        BudgetNotice.objects.filter(told_at=None).order_by("created_at").select_for_update(skip_locked=True)
    )
    found = [
        Notice(row.budget, row.period_start, row.level, row.run_id, row.spent_amount, row.spent_tokens)
        for row in rows.select_related("budget").select_for_update(skip_locked=True, of=("self",))[:BATCH]
    ]
    for notice in found:
        mail_at = now if notice.budget.recipients else None
        of_notice(notice.budget.pk, notice.period_start, notice.level).update(told_at=now, mail_at=mail_at)
    return found


def of_notice(budget_id: uuid.UUID, period_start: datetime, level: int) -> Any:
    """The one row, as a query set."""
    return BudgetNotice.objects.filter(budget_id=budget_id, period_start=period_start, level=level)
