"""Whatever happens to calls, in whatever order: counters are what the ledger says, reservations those of open calls."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing import ledger
from billing.budgets.room import Shortfall
from billing.ledger import Tokens
from billing.models import Budget, BudgetPeriod, BudgetReservation, Entry, UsageRecord
from tests.billing.budgets import Calls, differences
from tests.billing.test_budgets import corrections
from tests.examples import examples
from tests.factories import BudgetFactory, PriceFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

RUNS = [uuid.UUID(int=number) for number in range(1, 4)]
counts = st.integers(0, 2000)


class Ledger(RuleBasedStateMachine):
    """Two budgets, one of a run's agent; time goes on by hours, over days' ends and the change of clocks."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 10, 24, 12, tzinfo=UTC)
        workspace = WorkspaceFactory(time_zone="Europe/Berlin")
        PriceFactory(workspace=workspace, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
        self.whole = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.1"), limit_tokens=20_000)
        BudgetFactory(workspace=workspace, agent_id=RUNS[0], period="hour", action="alert")
        self.calls = Calls.of(workspace)
        self.open: list[tuple[uuid.UUID, uuid.UUID]] = []
        self.settled: list[uuid.UUID] = []

    @rule(run=st.sampled_from(RUNS), asked=counts, most=counts)
    def opens(self, run, asked, most):
        opened = self.calls.open(asked, most, self.now, run_id=run, agent_id=run)
        if not isinstance(opened, Shortfall):
            self.open.append((opened, run))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), read=counts, written=counts)
    def settles(self, data, read, written):
        call_id, run = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.calls.settle(call_id, Tokens(input=read, output=written), self.now, run_id=run, agent_id=run)
        self.settled.append(call_id)

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def repeats(self, data):
        """A flush whose answer was lost."""
        call_id = data.draw(st.sampled_from(self.settled))
        records = UsageRecord.objects.filter(call_id=call_id, correction_of=None)
        for record in records:
            record.pk = uuid.uuid4()
        ledger.append(list(records))

    @rule(run=st.sampled_from(RUNS))
    def loses(self, run):
        ledger.settle_open([run], self.now, {})
        self.settled += [call_id for call_id, of in self.open if of == run]
        self.open = [(call_id, of) for call_id, of in self.open if of != run]

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), cents=st.integers(0, 50))
    def reprices(self, data, cents):
        call_id = data.draw(st.sampled_from(self.settled))
        last = UsageRecord.objects.filter(call_id=call_id, entry=Entry.SETTLED, is_reversal=False)
        ledger.append(corrections(last.order_by("-revision")[0], Decimal(cents) / 100))

    @rule(hours=st.integers(1, 30))
    def time_goes_on(self, hours):
        self.now += timedelta(hours=hours)

    @rule()
    def breaks_off(self):
        """A transaction that does not commit leaves nothing."""
        try:
            with transaction.atomic():
                self.calls.open(10, 10, self.now, run_id=RUNS[0], agent_id=RUNS[0])
                raise InterruptedError
        except InterruptedError:
            pass

    @invariant()
    def agrees_with_the_ledger(self):
        assert differences() == []

    @invariant()
    def reserves_for_open_calls_alone(self):
        whole = BudgetReservation.objects.filter(budget=self.whole)
        assert set(whole.values_list("call_id", flat=True)) == {call_id for call_id, _ in self.open}

    @invariant()
    def is_not_below_nothing(self):
        for period in BudgetPeriod.objects.all():
            assert period.reserved_amount >= 0
            assert period.reserved_tokens >= 0


@pytest.mark.properties
def test_agrees_with_the_ledger_whatever_happens(db):
    class Apart(Ledger):
        """Each example in a savepoint of its own."""

        def __init__(self) -> None:
            self.savepoint = transaction.savepoint()
            super().__init__()

        def teardown(self) -> None:
            transaction.savepoint_rollback(self.savepoint)
            Budget.objects.all()

    run_state_machine_as_test(
        Apart,
        settings=settings(
            max_examples=examples(30),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
