"""What has had its day is removed by the worker, in bounded batches."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import Ticket
from accounts.tokens import issue, revoke, rotate
from agentplatform.lib import housekeeping
from agentplatform.lib.errors import NotAuthenticated
from agentplatform.lib.housekeeping import alone, chores, do_chores, remove
from agentplatform.lib.ids import uuid7
from billing import ledger
from billing.budgets.counters import present_start
from billing.models import BudgetPeriod, BudgetReservation, Entry, Outcome, UsageRecord
from runs.models import IdempotencyKey
from tests.factories import BudgetFactory, MembershipFactory, RunFactory, UsageRecordFactory, UserFactory


def do(name):
    return alone(chores[name])


def token_of(user, expired):
    pair = issue(user)
    if expired:
        OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(hours=2))
    return pair["refresh"]


def ticket(expires_in):
    return Ticket.objects.create(
        hash=uuid7().hex, membership=MembershipFactory(), expires_at=timezone.now() + expires_in
    )


def test_removes_expired_refresh_tokens(db):
    token_of(UserFactory(), expired=True)
    living = token_of(UserFactory(), expired=False)
    do("remove_expired_refresh_tokens")
    assert OutstandingToken.objects.count() == 1
    assert rotate(living)


def test_removes_used_ones_with_them(db):
    user = UserFactory()
    revoke(issue(user)["refresh"])
    OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(hours=2))
    do("remove_expired_refresh_tokens")
    assert (OutstandingToken.objects.count(), BlacklistedToken.objects.count()) == (0, 0)


def test_remembers_a_used_token_as_long_as_a_slow_clock_takes_it_for_valid(db):
    used = issue(UserFactory())["refresh"]
    rotate(used)
    OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(minutes=5))
    do("remove_expired_refresh_tokens")
    with pytest.raises(NotAuthenticated):
        rotate(used)


def test_removes_tickets_that_nobody_used(db):
    ticket(timedelta(seconds=-1))
    living = ticket(timedelta(seconds=30))
    do("remove_expired_tickets")
    assert Ticket.objects.get() == living


def test_removes_expired_sessions_of_the_admin(db):
    for key, days in (("gone", -1), ("living", 1)):
        Session.objects.create(
            session_key=key, session_data="", expire_date=timezone.now() + timedelta(days=days)
        )
    do("remove_expired_sessions")
    assert Session.objects.get().session_key == "living"


def test_removes_idempotency_keys_after_a_day(workspace):
    run = RunFactory(workspace=workspace)
    for key, hours in (("gone", 25), ("living", 23)):
        created_at = timezone.now() - timedelta(hours=hours)
        IdempotencyKey.objects.create(
            workspace=workspace, actor="user:1", key=key, request_hash="", run=run, created_at=created_at
        )
    do("remove_old_idempotency_keys")
    assert IdempotencyKey.objects.get().key == "living"


def test_settles_forgotten_tests_of_models(workspace):
    UsageRecordFactory(
        workspace=workspace,
        run_id=None,
        entry=Entry.OPENED,
        status=Outcome.PENDING,
        timestamp=timezone.now() - timedelta(hours=2),
    )
    do("settle_forgotten_calls")
    assert UsageRecord.objects.settled().get().status == Outcome.UNKNOWN


def reserved(run, budget, age):
    """A call of the run that was opened so long ago, and never settled, though it keeps room of the budget."""
    opened = UsageRecordFactory(
        workspace=run.workspace,
        run_id=run.pk,
        attempt=1,
        entry=Entry.OPENED,
        status=Outcome.PENDING,
        timestamp=timezone.now() - age,
    )
    start = present_start(budget, timezone.now())
    BudgetReservation.objects.create(
        call_id=opened.call_id, budget=budget, period_start=start, amount=Decimal("0.5"), tokens=1100
    )
    BudgetPeriod.objects.create(
        budget=budget, period_start=start, reserved_amount=Decimal("0.5"), reserved_tokens=1100
    )


def test_frees_what_forgotten_calls_of_runs_have_set_aside(workspace):
    run, budget = RunFactory(workspace=workspace), BudgetFactory(workspace=workspace)
    reserved(run, budget, timedelta(hours=2))
    do("settle_forgotten_calls_of_runs")
    run.refresh_from_db()

    assert not BudgetReservation.objects.exists()
    assert BudgetPeriod.objects.get().reserved_tokens == 0
    assert run.cost == UsageRecord.objects.settled().get().cost > 0


def test_leaves_calls_of_runs_that_may_be_under_way(workspace):
    reserved(RunFactory(workspace=workspace), BudgetFactory(workspace=workspace), timedelta(minutes=30))
    do("settle_forgotten_calls_of_runs")

    assert not UsageRecord.objects.settled().exists()


def test_settles_forgotten_calls_though_one_of_them_cannot_be_settled(
    workspace, other_workspace, monkeypatch
):
    for place in (workspace, other_workspace):
        reserved(RunFactory(workspace=place), BudgetFactory(workspace=place), timedelta(hours=2))
    settle = ledger.settle_unknown

    def settle_of_one_workspace(records, at):
        if records[0].workspace_id == workspace.pk:
            raise ValueError("poison")
        settle(records, at)

    monkeypatch.setattr(ledger, "settle_unknown", settle_of_one_workspace)
    do("settle_forgotten_calls_of_runs")

    assert UsageRecord.objects.settled().get().workspace_id == other_workspace.pk


def test_removes_a_bounded_batch_and_says_that_there_may_be_more(db, monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    for _ in range(3):
        ticket(timedelta(seconds=-1))
    assert [remove(Ticket.objects.all()) for _ in range(2)] == [True, False]


@pytest.mark.usefixtures("one_thread")
def test_goes_on_until_nothing_is_left(monkeypatch):
    monkeypatch.setattr(housekeeping, "BATCH", 1)
    for _ in range(3):
        ticket(timedelta(seconds=-1))
    async_to_sync(do_chores)()
    assert not Ticket.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_leaves_it_to_the_worker_that_is_at_it():
    ticket(timedelta(seconds=-1))
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as another:
        another.execute("SELECT pg_advisory_lock(%s)", [housekeeping.LOCK])
        assert do("remove_expired_tickets") is False
    assert Ticket.objects.exists()


async def test_does_the_other_chores_when_one_fails(monkeypatch):
    done = []

    def fail():
        raise ZeroDivisionError

    def succeed():
        done.append(True)
        return False

    monkeypatch.setattr(housekeeping, "chores", {"fails": fail, "succeeds": succeed})
    monkeypatch.setattr(housekeeping, "alone", lambda function: function())
    await do_chores()
    assert done == [True]
