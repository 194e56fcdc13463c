"""Roll-ups and budgets against the ledger: what is right passes, and what was changed by force is named."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from agentplatform.lib.hash_chain import seal_next
from billing.cuts import CUTS
from billing.grains import Grain
from billing.reconciliation import Scope, reconcile, roads
from billing.sealing import LEDGER
from tests.factories import BudgetFactory, UsageRecordFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def differing(workspace):
    """`differing()`: the roads on which something differs in acme."""

    def find(**period) -> set[str]:
        scope = Scope(workspace.pk, workspace.slug, **period)
        named = {findings.road for findings in reconcile(scope) if findings.differences}
        return {name for name in named if name.startswith(("rollups", "lifetimes", "budgets"))}

    return find


@pytest.fixture
def usage(workspace):
    """Calls of several kinds, most of them sealed, some waiting."""
    for hours in range(30):
        UsageRecordFactory(
            workspace=workspace,
            timestamp=timezone.now() - timedelta(hours=hours),
            agent=f"agent-{hours % 3}",
            tags=["a", "b"][: hours % 3],
            session_id=uuid.UUID(int=hours % 4),
            cost=None if hours % 5 == 0 else Decimal("0.001"),
        )
    seal_next(LEDGER)
    UsageRecordFactory(workspace=workspace)


def by_force(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        assert cursor.rowcount > 0
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_has_a_road_to_each_cut():
    assert len([name for name in roads if name.startswith("rollups")]) == 2 * len(CUTS)


def test_finds_nothing_where_all_is_right(usage, differing):
    assert differing() == set()


def test_finds_nothing_in_a_part(usage, differing):
    middle = timezone.now() - timedelta(hours=11, minutes=7)
    assert differing(start=middle, end=timezone.now()) == set()


@pytest.mark.parametrize("change", ["cost = cost + 0.000000000001", "requests = requests + 1"])
def test_names_every_cut_that_was_changed(usage, differing, change):
    by_force(f"UPDATE billing_usagerollup SET {change} WHERE grain = 1")
    quarters = [cut for cut in CUTS if cut.grains[0] is Grain.QUARTER]
    assert differing() == {name for cut in quarters for name in names_of(cut)}


def names_of(cut) -> list[str]:
    name = f"rollups by {cut.name}"
    return [name, f"{name}, in coarser grains"]


def test_names_a_cut_that_lacks_a_piece(usage, differing):
    by_force("DELETE FROM billing_usagerollup WHERE cut = 18")
    assert {"rollups by session", "lifetimes by session"} <= differing()


@pytest.mark.parametrize("change", ["cost = cost + 0.000000000001", "last = last + interval '4 hours'"])
def test_names_what_a_group_had_since_ever(usage, differing, change):
    by_force(f"UPDATE billing_usagelifetime SET {change} WHERE cut = 18")
    assert differing() == {"lifetimes by session"}


def test_names_what_a_budget_counts_wrongly(workspace, differing):
    budget = BudgetFactory(workspace=workspace)
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    by_force(
        "INSERT INTO billing_budgetperiod (budget_id, period_start, spent_amount, spent_tokens) "
        f"VALUES ('{budget.pk}', '{start.isoformat()}', 1, 0)"
    )
    assert differing() == {"budgets"}


def test_finds_nothing_in_budgets_that_are_right(workspace, differing):
    BudgetFactory(workspace=workspace)
    UsageRecordFactory(workspace=workspace, timestamp=timezone.now())
    assert differing() == set()
