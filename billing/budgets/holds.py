"""Runs that rest because a budget has no room: who they are, and when there is room for them again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Window
from django.db.models.functions import RowNumber

from agentplatform.lib import bulk
from billing.budgets.room import Counter, Shortfall, counters
from billing.models import Budget, BudgetHold, UsageRecord

# Runs that go on at once, and how many of one budget are looked at for them.
BATCH = 200
OF_EACH = 50


def rows(run_id: uuid.UUID, shortfall: Shortfall, now: datetime) -> list[bulk.Row]:
    """What is written when a run comes to rest. Where a price is missing, time does not help: somebody has to."""
    if shortfall.unpriced:
        return []
    return [
        bulk.row(
            BudgetHold,
            run_id=run_id,
            budget_id=shortfall.budget.pk,
            needs_amount=shortfall.needs_amount,
            needs_tokens=shortfall.needs_tokens,
            since=now,
        )
    ]


def release(run_ids: Iterable[uuid.UUID]) -> None:
    """The runs go on, or have ended: they do not rest because of a budget any more."""
    BudgetHold.objects.filter(run_id__in=list(run_ids)).delete()


def obstacle(run_id: uuid.UUID, now: datetime) -> Shortfall | None:
    """The budget that still has no room for what the run is about to do."""
    hold = BudgetHold.objects.filter(run_id=run_id).first()
    if hold is None:
        return None
    counter = counters([hold.budget_id], now).get(hold.budget_id)
    limit = counter.lacks_room(_need(hold, counter)) if counter and _pauses(counter) else ""
    return Shortfall(counter, limit) if counter and limit else None


def with_room(now: datetime) -> list[uuid.UUID]:
    """The runs for which there is room, no more than find it together: of each budget those that rest longest. Those of
    a budget that was disabled, or pauses no more, are among them.

    Each budget has its turn, whatever rests for others: first the run that rests longest of each, then the second.
    """
    found = counters(set(BudgetHold.objects.values_list("budget_id", flat=True).distinct()), now)
    pausing = {key: counter for key, counter in found.items() if _pauses(counter)}
    full = [key for key, counter in pausing.items() if counter.is_spent()]
    oldest = Window(RowNumber(), partition_by="budget_id", order_by=["since", "run_id"])
    held = BudgetHold.objects.exclude(budget_id__in=full).annotate(place=oldest)
    ready: list[uuid.UUID] = []
    for hold in held.filter(place__lte=OF_EACH).order_by("place", "since", "run_id").iterator():
        if counter := pausing.get(hold.budget_id):
            need = _need(hold, counter)
            if counter.lacks_room(need):
                continue
            counter.reserve(need)
        ready.append(hold.run_id)
        if len(ready) == BATCH:
            break
    return ready


def _pauses(counter: Counter) -> bool:
    return counter.budget.action == Budget.Action.PAUSE


def _need(hold: BudgetHold, counter: Counter) -> UsageRecord:
    need = UsageRecord(call_id=hold.run_id, currency=counter.budget.currency)
    need.most_cost, need.most_tokens = hold.needs_amount, hold.needs_tokens
    return need
