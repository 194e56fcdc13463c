"""New budgets count what their present period has spent before they were made.

The ledger's trigger counts for a budget from its commit on. Who has written to the ledger before, and could not see it,
may commit after it: the sum over the ledger is taken at once, and again when all those have ended. That it is due
stands in the budget's row, so whoever crashes meanwhile forgets none, and no table has to be locked.
"""

from __future__ import annotations

import uuid

from django.db import connection, transaction
from django.utils import timezone

from billing.budgets.counters import present_start, recount
from billing.budgets.periods import end_of
from billing.models import Budget, BudgetPeriod

BATCH = 100
# The budget's own transaction has not ended yet, so nobody knows which others it has to wait for.
NOBODY_KNOWS = 0


def begin(budget: Budget) -> None:
    """Saves a new budget with an empty counter, in the caller's transaction. `count` follows its commit.

    The counter is there from the first moment, so that corrections meet it while the ledger is summed up.
    """
    budget.uncounted_until = NOBODY_KNOWS
    budget.save(force_insert=True)
    start = present_start(budget, timezone.now())
    end = end_of(start, budget.period, budget.time_zone)
    BudgetPeriod.objects.create(budget=budget, period_start=start, period_end=end)


@transaction.atomic
def count(budget_id: uuid.UUID) -> None:
    """Takes from the ledger what a new budget lacks, and notes whether that was all."""
    budget = Budget.objects.filter(pk=budget_id, uncounted_until__isnull=False).first()
    if budget is None:
        return
    oldest, following = _transactions()
    was = budget.uncounted_until
    until = was or following
    is_whole = until <= oldest
    if not was or is_whole:
        for period in BudgetPeriod.objects.filter(budget=budget):
            recount(budget, period.period_start)
        now = None if is_whole else until
        Budget.objects.filter(pk=budget_id, uncounted_until=was).update(uncounted_until=now)


def count_new() -> bool:
    """Those that are not counted yet, or not wholly; False: who has to wait for others waits for the next time."""
    waiting = Budget.objects.filter(uncounted_until__isnull=False).order_by("pk")
    for budget_id in list(waiting.values_list("pk", flat=True)[:BATCH]):
        count(budget_id)
    return False


def _transactions() -> tuple[int, int]:
    """The numbers of the oldest transaction under way, and of the next: all below the first have ended."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint "
            "FROM pg_current_snapshot() AS now"
        )
        oldest, following = cursor.fetchone()
    return oldest, following
