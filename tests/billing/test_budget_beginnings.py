"""A new budget counts what was spent before it was made, whoever writes to the ledger meanwhile, and crashes."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, transaction

from billing.budgets import beginning, editing
from billing.budgets.listing import forget
from billing.models import Budget
from tests.billing.budgets import Calls, counted, differences
from tests.factories import PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def calls(workspace):
    PriceFactory(workspace=workspace)
    forget(workspace.pk)
    return Calls.of(workspace)


def create(workspace) -> Budget:
    return editing.create(Budget(workspace=workspace, name="daily", period="day", limit_tokens=9000))


def settled(budget) -> bool:
    """Whether the last count comes. It waits for all who write in the database cluster, other tests among them."""
    deadline = time.monotonic() + 60
    while Budget.objects.filter(pk=budget.pk, uncounted_until__isnull=False).exists():
        if time.monotonic() > deadline:
            return False
        beginning.count_new()
        time.sleep(0.05)
    return True


@pytest.fixture
def hardened():
    """As a role that may not change the ledger."""
    run = connection.cursor().execute
    run("CREATE ROLE serves_budgets")
    run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO serves_budgets")
    run("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO serves_budgets")
    run("REVOKE UPDATE, DELETE, TRUNCATE ON billing_usagerecord, billing_ledgerseal FROM serves_budgets")
    run("SET ROLE serves_budgets")
    yield
    run("RESET ROLE")
    run("DROP OWNED BY serves_budgets")
    run("DROP ROLE serves_budgets")


@pytest.mark.usefixtures("hardened")
def test_counts_what_was_spent_where_the_platform_may_not_change_the_ledger(workspace, calls):
    calls.make()
    budget = create(workspace)

    assert counted(budget)[2] == 2000
    assert settled(budget)


@pytest.fixture
def slow_writer(calls):
    """`slow_writer()` lets a transaction end that has written to the ledger already."""
    written, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            calls.make()
            written.set()
            may_end.wait(20)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert written.wait(20)

    def end() -> None:
        may_end.set()
        thread.join()

    yield end
    end()


def test_counts_what_a_transaction_had_written_before_it_could_see_the_budget(workspace, slow_writer):
    budget = create(workspace)
    beginning.count_new()
    before = counted(budget)[2]
    slow_writer()

    assert settled(budget)
    assert (before, counted(budget)[2]) == (0, 2000)
    assert not differences()


def test_is_counted_where_whoever_made_it_has_died(workspace, calls, monkeypatch):
    calls.make()
    with monkeypatch.context() as patch:
        patch.setattr(beginning, "count", lambda _: 1 / 0)
        budget = create(workspace)
    beginning.count_new()

    assert counted(budget)[2] == 2000


def test_counts_nothing_twice(workspace, calls):
    calls.make()
    budget = create(workspace)
    calls.make()
    Budget.objects.update(uncounted_until=0)
    beginning.count_new()

    assert counted(budget)[2] == 4000
