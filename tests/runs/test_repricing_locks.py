"""Repricing locks runs before what the ledger's entries lock, as every flush does."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from billing import repricing
from billing.models import Repricing, UsageRecord
from runs.models import Run, Status
from tests.factories import BudgetFactory, PriceFactory, RepricingFactory, RunFactory, UsageRecordFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wanted(workspace) -> Repricing:
    """A period with one call of a run, whose cost changes, and a budget that counts it."""
    now = timezone.now()
    run = RunFactory(workspace=workspace, status=Status.RUNNING)
    PriceFactory(workspace=workspace, valid_from=now - timedelta(days=1))
    BudgetFactory(workspace=workspace)
    UsageRecordFactory(
        workspace=workspace, run_id=run.pk, model="house-model", cost=Decimal("0.001"), timestamp=now,
        recorded_at=now - timedelta(minutes=1),
    )  # fmt: skip
    made = RepricingFactory.build(
        workspace=workspace,
        start=now - timedelta(hours=1),
        end=now + timedelta(hours=1),
        status=Repricing.Status.QUEUED,
    )
    repricing.save(made)
    return made


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]


def test_writes_into_the_ledger_only_with_its_runs_in_hand(wanted, workspace):
    def work() -> None:
        try:
            repricing.step(wanted.pk)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    with transaction.atomic():
        run = Run.objects.select_for_update().get()
        thread.start()
        deadline = time.monotonic() + 20
        while not waits_for_a_lock() and time.monotonic() < deadline:
            time.sleep(0.01)
        # A flush that has the run counts for the budget.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
        UsageRecordFactory(workspace=workspace, run_id=run.pk)
    thread.join()
    assert UsageRecord.objects.filter(correction_of__isnull=False).count() == 2
