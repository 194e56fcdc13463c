"""Locks of budgets: everybody takes them in the same order, those of disabled budgets too."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection, transaction
from django.utils import timezone

from billing import ledger
from billing.budgets.room import Room
from billing.ledger import Tokens
from billing.models import Budget
from tests.billing.budgets import Calls
from tests.factories import BudgetFactory, PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)


def free() -> list[uuid.UUID]:
    """The budgets that another connection could lock now."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM billing_budget ORDER BY id FOR NO KEY UPDATE SKIP LOCKED")
            return [row[0] for row in cursor.fetchall()]
    finally:
        other.close()


def test_locks_a_disabled_budget_before_the_trigger_does(workspace):
    """Else two flushes would lock it and an enabled one in opposite orders, and wait for each other."""
    PriceFactory(workspace=workspace)
    BudgetFactory(workspace=workspace, enabled=False)
    BudgetFactory(workspace=workspace)
    record = ledger.opened(Calls.of(workspace).context, uuid.uuid4(), Tokens(input=1), timezone.now(), 1)
    with transaction.atomic():
        Room([record], timezone.now())

        assert free() == []
    assert len(free()) == 2


def test_asks_no_disabled_budget(workspace):
    PriceFactory(workspace=workspace)
    BudgetFactory(workspace=workspace, enabled=False, limit_tokens=1)
    calls = Calls.of(workspace)
    calls.make()

    assert not Budget.objects.get().reservations.exists()
