"""Making, changing and deleting budgets. What a budget is of, and its period, never change: that is another budget."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.models import ApiKey, Membership
from agentplatform.lib.errors import Conflict, Invalid, NotFound
from billing.budgets import beginning, targets
from billing.budgets.counters import percent, present, present_start, recount
from billing.budgets.listing import forget
from billing.budgets.periods import end_of
from billing.budgets.scope import FIELDS
from billing.models import Budget, BudgetNotice, BudgetPeriod

MOST_BUDGETS = 200
# What a budget is of, and how long; another one is another budget.
FIXED = (*FIELDS, "period")
# Of these a change may tell the present period's levels anew.
LIMITS = frozenset({"limit_amount", "limit_tokens", "warning_levels"})


def create(budget: Budget) -> Budget:
    """Saves a new budget of a workspace that counts what its present period has spent already.

    Raises Invalid where it names an agent, a user or a key that the workspace does not have.
    """
    check_targets(budget)
    workspace = budget.workspace
    budget.currency, budget.time_zone = workspace.currency, workspace.time_zone
    if Budget.objects.filter(workspace=workspace).count() >= MOST_BUDGETS:
        raise Conflict(f"A workspace has at most {MOST_BUDGETS} budgets; delete one first.")
    with transaction.atomic():
        beginning.begin(budget)
        audit.created(budget)
    transaction.on_commit(lambda: forget(budget.workspace_id))
    # Where that fails the outbox `count_new_budgets` does it.
    transaction.on_commit(lambda: beginning.count(budget.pk), robust=True)
    return budget


def update(budget: Budget, changes: Mapping[str, Any]) -> Budget:
    """Changes what may be changed. A new limit tells anew of the levels that it has not reached."""
    with transaction.atomic():
        # What somebody else changes at the same time, and the time zone that it follows, stay as they are.
        kept = Budget.objects.select_for_update(no_key=True).filter(pk=budget.pk).first()
        if kept is None:
            raise NotFound("Budget", budget.pk)
        before = audit.fingerprint_of(kept)
        for name, value in changes.items():
            setattr(budget, name, value)
        budget.save(update_fields=[*changes, "updated_at"])
        audit.updated(budget, before)
        if LIMITS & changes.keys():
            _tell_anew(budget)
    transaction.on_commit(lambda: forget(budget.workspace_id))
    return budget


def delete(budget: Budget) -> None:
    """Deletes it with its counters. Runs that rest because of it stay at rest until somebody resumes them."""
    with transaction.atomic():
        # Whoever counts for it holds its lock first.
        Budget.objects.select_for_update().filter(pk=budget.pk).first()
        audit.deleted(budget)
        budget.delete()
    transaction.on_commit(lambda: forget(budget.workspace_id))


def follow_time_zones() -> bool:
    """Budgets whose workspace has another time zone now follow it; False: there are never many."""
    moved = Budget.objects.exclude(time_zone=F("workspace__time_zone"))
    for budget_id in list(moved.values_list("pk", flat=True)[:100]):
        _follow_time_zone(budget_id)
    return False


@transaction.atomic
def _follow_time_zone(budget_id: uuid.UUID) -> None:
    """Nobody counts for it until its new period is whole. The period by the old clock counts on until its end."""
    rows = Budget.objects.select_for_update(no_key=True, of=("self",)).select_related("workspace")
    if budget := rows.filter(pk=budget_id).first():
        budget.time_zone = budget.workspace.time_zone
        budget.save(update_fields=["time_zone"])
        start = present_start(budget, timezone.now())
        end = end_of(start, budget.period, budget.time_zone)
        BudgetPeriod.objects.filter(budget=budget, period_start=start).update(period_end=end)
        recount(budget, start)


def check_targets(budget: Budget) -> None:
    """Raises Invalid, by field, for what the budget's workspace does not have."""
    wrong = {}
    workspace_id = budget.workspace_id
    if budget.agent_id and not targets.has_agent(workspace_id, budget.agent_id):
        wrong["agent_id"] = "There is no such agent in this workspace."
    members = Membership.objects.filter(workspace_id=workspace_id)
    if budget.user_id and not members.filter(user_id=budget.user_id).exists():
        wrong["user_id"] = "There is no such member in this workspace."
    if (
        budget.api_key_id
        and not ApiKey.objects.filter(workspace_id=workspace_id, pk=budget.api_key_id).exists()
    ):
        wrong["api_key_id"] = "There is no such API key in this workspace."
    if budget.model and not budget.provider:
        wrong["provider"] = "Name the model's provider, too."
    if wrong:
        raise Invalid(wrong)


def find(actor: Actor, identifier: object) -> Budget:
    """By id or name. Raises NotFound."""
    budget: Budget = Budget.objects.named(actor, identifier)
    return budget


def _tell_anew(budget: Budget) -> None:
    counter = present([budget])[budget.pk]
    reached = BudgetNotice.objects.filter(budget=budget, period_start=counter.period_start)
    reached.filter(level__gt=percent(counter)).delete()
