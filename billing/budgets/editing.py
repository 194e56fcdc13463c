"""Making, changing and deleting budgets. What a budget is of, and its period, never change: that is another budget."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from accounts.models import ApiKey, Membership
from agentplatform.lib.errors import Conflict, Invalid
from billing.budgets import targets
from billing.budgets.counters import percent, present, present_start, recount
from billing.budgets.listing import forget
from billing.models import Budget, BudgetNotice

MOST_BUDGETS = 200
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
        budget.save(force_insert=True)
        audit.created(budget)
    transaction.on_commit(lambda: _begin(budget.pk))
    return budget


def update(budget: Budget, changes: Mapping[str, Any]) -> Budget:
    """Changes what may be changed. A new limit tells anew of the levels that it has not reached."""
    before = audit.fingerprint_of(Budget.objects.get(pk=budget.pk))
    for name, value in changes.items():
        setattr(budget, name, value)
    budget.save()
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
    moved = Budget.objects.exclude(time_zone=F("workspace__time_zone")).select_related("workspace")[:100]
    for budget in moved:
        Budget.objects.filter(pk=budget.pk).update(time_zone=budget.workspace.time_zone)
        budget.time_zone = budget.workspace.time_zone
        _recount_present(budget)
    return False


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


def _begin(budget_id: uuid.UUID) -> None:
    """The ledger's trigger counts for it from its commit on; what came before is taken from the ledger."""
    budget = Budget.objects.get(pk=budget_id)
    forget(budget.workspace_id)
    _let_writers_end()
    _recount_present(budget)


def _let_writers_end() -> None:
    """Transactions that have written to the ledger before they could see the budget: they end first, or the sum that
    follows would miss them. None of them takes long; where one does, it is not waited for.
    """
    with suppress(OperationalError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '400ms'")
        cursor.execute("LOCK TABLE billing_usagerecord IN SHARE MODE")


def _recount_present(budget: Budget) -> None:
    recount(budget, present_start(budget, timezone.now()))


def _tell_anew(budget: Budget) -> None:
    counter = present([budget])[budget.pk]
    reached = BudgetNotice.objects.filter(budget=budget, period_start=counter.period_start)
    reached.filter(level__gt=percent(counter)).delete()
