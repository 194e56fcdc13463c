"""Runs that rest because a budget has no room: who they are, and when there is room for them again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from agentplatform.lib import bulk
from billing.budgets.room import Counter, Shortfall, counters
from billing.models import BudgetHold, UsageRecord

BATCH = 200


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
    limit = counter.lacks_room(_need(hold, counter)) if counter else ""
    return Shortfall(counter, limit) if counter and limit else None


def with_room(now: datetime) -> list[uuid.UUID]:
    """The runs, longest rest first, for which there is room: no more than find it together. Those of a budget that was
    disabled are among them.
    """
    held = list(BudgetHold.objects.order_by("since", "run_id")[:BATCH])
    found = counters({hold.budget_id for hold in held}, now)
    ready = []
    for hold in held:
        if counter := found.get(hold.budget_id):
            need = _need(hold, counter)
            if counter.lacks_room(need):
                continue
            counter.reserve(need)
        ready.append(hold.run_id)
    return ready


def _need(hold: BudgetHold, counter: Counter) -> UsageRecord:
    need = UsageRecord(call_id=hold.run_id, currency=counter.budget.currency)
    need.most_cost, need.most_tokens = hold.needs_amount, hold.needs_tokens
    return need
