"""When periods of budgets begin and end: by the workspace's clock, also when it is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.budgets import editing
from billing.budgets.counters import present_start
from billing.budgets.periods import end_of
from billing.ledger import append
from billing.models import Budget, BudgetPeriod, UsageRecord
from tests.billing.budgets import Calls, differences
from tests.billing.test_budgets import corrections
from tests.factories import BudgetFactory, PriceFactory

pytestmark = pytest.mark.django_db

# Clocks that skip midnight, repeat it, move by half an hour, are off by quarters, jump over a day, and do not move.
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Beirut", "Africa/Cairo"),
    *("Australia/Lord_Howe", "Asia/Kathmandu", "America/Asuncion", "Asia/Shanghai", "Pacific/Auckland"),
]
moments = st.datetimes(datetime(2023, 1, 1), datetime(2029, 12, 31)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


def start_of(moment: datetime, period: str, zone: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_period_start(%s, %s, %s)", [period, moment, zone])
        return cursor.fetchone()[0]


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "end"),
    [
        ("day", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("day", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("hour", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"),
        ("hour", "Europe/Berlin", "2026-10-25T01:30Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"),
        ("hour", "Asia/Kathmandu", "2026-10-25T01:30Z", "2026-10-25T01:15Z", "2026-10-25T02:15Z"),
        ("week", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-22T23:00Z", "2026-03-29T22:00Z"),
        ("month", "America/New_York", "2026-03-31T12:00Z", "2026-03-01T05:00Z", "2026-04-01T04:00Z"),
        ("month", "Asia/Shanghai", "2026-12-31T16:00Z", "2026-12-31T16:00Z", "2027-01-31T16:00Z"),
        # Clocks go back at one, so midnight comes twice.
        ("day", "America/Havana", "2026-11-01T04:30Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
        ("day", "America/Havana", "2026-11-01T05:30Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
        # Clocks skip midnight.
        ("day", "America/Havana", "2026-03-08T12:00Z", "2026-03-08T05:00Z", "2026-03-09T04:00Z"),
    ],
)
def test_begins_and_ends_by_the_clock_of_the_place(period, zone, moment, start, end):
    began = start_of(datetime.fromisoformat(moment), period, zone)

    assert (began, end_of(began, period, zone)) == (
        datetime.fromisoformat(start),
        datetime.fromisoformat(end),
    )


@settings(max_examples=200, deadline=None)
@given(moments, st.sampled_from(ZONES), st.sampled_from(["hour", "day", "week", "month"]))
def test_leaves_no_moment_out_and_counts_none_twice(moment, zone, period):
    """What the database says of beginnings and what is said here of ends meet without a gap."""
    start = start_of(moment, period, zone)
    end = end_of(start, period, zone)

    assert start <= moment < end
    assert start_of(end, period, zone) == end
    assert start_of(end - timedelta(microseconds=1), period, zone) == start
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_period_end(%s, %s, %s)", [period, start, zone])
        assert cursor.fetchone() == (end,)


def test_begins_the_month_at_midnight():
    began = start_of(datetime(2026, 7, 15, tzinfo=UTC), "month", "Pacific/Auckland")

    assert began.astimezone(ZoneInfo("Pacific/Auckland")).isoformat() == "2026-07-01T00:00:00+12:00"


def test_counts_a_call_in_the_period_in_which_it_is_settled(workspace):
    PriceFactory(workspace=workspace, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    budget, calls = BudgetFactory(workspace=workspace), Calls.of(workspace)
    before, after = datetime(2026, 3, 1, 23, 59, tzinfo=UTC), datetime(2026, 3, 2, 0, 1, tzinfo=UTC)
    calls.settle(calls.open(at=before), at=after)

    first, second = BudgetPeriod.objects.filter(budget=budget).order_by("period_start")
    assert (first.spent_tokens, first.reserved_tokens) == (0, 0)
    assert (second.spent_tokens, second.reserved_tokens) == (2000, 0)


def test_begins_anew_in_the_next_period(workspace):
    PriceFactory(workspace=workspace, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    BudgetFactory(workspace=workspace, limit_amount=None, limit_tokens=2000)
    calls = Calls.of(workspace)
    calls.make(at=datetime(2026, 3, 1, 12, tzinfo=UTC))

    calls.make(at=datetime(2026, 3, 2, 12, tzinfo=UTC))


def test_never_begins_anew_as_a_total(workspace):
    PriceFactory(workspace=workspace, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    BudgetFactory(workspace=workspace, period="total", limit_amount=None, limit_tokens=2000)
    calls = Calls.of(workspace)
    calls.make(at=datetime(2024, 3, 1, 12, tzinfo=UTC))
    refused = calls.open(at=datetime(2026, 3, 2, 12, tzinfo=UTC))

    assert refused.data["resets_at"] is None


def test_follows_its_workspace_into_another_time_zone(workspace, time_machine):
    time_machine.move_to("2026-03-15T23:30:00Z", tick=False)
    PriceFactory(workspace=workspace)
    budget = BudgetFactory(workspace=workspace)
    Calls.of(workspace).make(at=datetime(2026, 3, 15, 23, 10, tzinfo=UTC))
    workspace.time_zone = "Asia/Shanghai"
    workspace.save()
    editing.follow_time_zones()
    budget.refresh_from_db()

    start = present_start(budget, datetime(2026, 3, 15, 23, 30, tzinfo=UTC))
    assert start == datetime(2026, 3, 15, 16, tzinfo=UTC)
    assert BudgetPeriod.objects.get(budget=budget, period_start=start).spent_tokens == 2000


@pytest.fixture
def moved(workspace, time_machine):
    """A budget with a past and a present period, whose workspace has gone from Berlin to Shanghai meanwhile."""
    workspace.time_zone = "Europe/Berlin"
    workspace.save()
    time_machine.move_to("2026-03-15T20:00:00Z", tick=False)
    PriceFactory(workspace=workspace, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    budget, calls = BudgetFactory(workspace=workspace), Calls.of(workspace)
    calls.make(at=datetime(2026, 3, 14, 22, 30, tzinfo=UTC))
    calls.make(at=datetime(2026, 3, 15, 12, tzinfo=UTC))
    calls.make(at=datetime(2026, 3, 15, 18, tzinfo=UTC))
    workspace.time_zone = "Asia/Shanghai"
    workspace.save()
    editing.follow_time_zones()
    budget.refresh_from_db()
    return budget, calls


def test_keeps_the_ends_of_old_periods_in_another_time_zone(moved):
    budget, _ = moved
    ends = [
        period.period_end for period in BudgetPeriod.objects.filter(budget=budget).order_by("period_start")
    ]

    assert ends == [
        datetime(2026, 3, 14, 23, tzinfo=UTC),
        datetime(2026, 3, 15, 23, tzinfo=UTC),
        datetime(2026, 3, 16, 16, tzinfo=UTC),
    ]
    assert not differences()


def test_counts_a_call_in_both_periods_that_it_lies_in_after_the_clock_was_changed(moved):
    budget, calls = moved
    calls.make(at=datetime(2026, 3, 15, 20, 30, tzinfo=UTC))

    spent = BudgetPeriod.objects.filter(budget=budget).order_by("period_start")
    assert [period.spent_tokens for period in spent] == [2000, 6000, 4000]
    assert not differences()


def test_counts_corrections_in_the_period_by_the_old_clock(moved):
    first = UsageRecord.objects.filter(entry="settled").earliest("timestamp")
    append(corrections(first, 1))

    assert BudgetPeriod.objects.earliest("period_start").spent_amount == 1
    assert not differences()


def test_keeps_its_time_zone_and_what_others_change_when_it_is_changed(workspace):
    budget = BudgetFactory(workspace=workspace)
    Budget.objects.update(time_zone="Asia/Shanghai", enabled=False)
    editing.update(budget, {"limit_tokens": 5})

    budget.refresh_from_db()
    assert (budget.time_zone, budget.enabled, budget.limit_tokens) == ("Asia/Shanghai", False, 5)
