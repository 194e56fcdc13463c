"""Due schedules start their runs once each, whoever looks, and make up for what was missed as they say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, User
from accounts.roles import Role
from agents.models import Agent
from runs.events import EventType
from runs.models import Run, Schedule
from runs.schedules import due
from runs.schedules.due import MOST_MISSED, start_due
from tests.factories import AgentFactory, ScheduleFactory, SessionFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    """`clock.shift(60)`; it begins at noon, and stands still."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def agent(workspace) -> Agent:
    return AgentFactory(workspace=workspace, name="reporter")


@pytest.fixture
def make(workspace, bob, agent):
    """`make(cron="0 * * * *")`: a schedule of bob's that is due, and is every minute unless it says otherwise."""

    def make(**values) -> Schedule:
        defaults = {"cron": "* * * * *", "timezone": "UTC", "next_run_at": NOON, "user": bob, "agent": agent}
        return ScheduleFactory(workspace=workspace, **defaults | values)

    return make


def sweeps(times: int = 1) -> int:
    """How many runs so many sweeps start."""
    before = Run.objects.count()
    for _ in range(times):
        start_due()
    return Run.objects.count() - before


# once each


def test_starts_the_run_of_a_schedule_whose_moment_has_come(make, bob, agent):
    schedule = make(tags=["report"], metadata={"team": "sales"}, end_user="customer", priority=3)

    start_due()

    run = Run.objects.get()
    assert (run.user, run.agent, run.input, run.status) == (bob, agent, schedule.input, "queued")
    assert (run.tags, run.end_user, run.priority) == (["report"], "customer", 3)
    assert run.metadata == {
        "team": "sales",
        "schedule_id": str(schedule.pk),
        "scheduled_for": "2026-07-01T12:00:00+00:00",
    }


def test_leaves_a_schedule_whose_moment_is_to_come(make):
    make(next_run_at=NOON + timedelta(seconds=1))

    assert sweeps() == 0


def test_starts_the_run_of_a_moment_once(make):
    make()

    assert sweeps(times=3) == 1


def test_starts_one_a_minute_while_time_goes_on(make, clock):
    make()

    assert [(sweeps(times=2), clock.shift(30))[0] for _ in range(6)] == [1, 0, 1, 0, 1, 0]


def test_notes_the_run_and_the_next_moment(make):
    schedule = make(cron="0 12 * * *")

    start_due()

    schedule.refresh_from_db()
    assert (schedule.last_run_id, schedule.last_run_at) == (Run.objects.get().pk, NOON)
    assert schedule.next_run_at == NOON + timedelta(days=1)


def test_answers_the_events_of_the_runs(make):
    make()
    make()

    assert [event.type for event in start_due()] == [EventType.RUN_QUEUED] * 2


def test_goes_on_with_its_session(make, workspace, bob, agent):
    session = SessionFactory(workspace=workspace, user=bob, agent=agent)
    make(session=session)

    start_due()

    assert Run.objects.get().session == session


@pytest.mark.django_db(transaction=True)
def test_starts_it_once_where_two_look_at_the_same_time(make):
    make()
    barrier = threading.Barrier(2)

    def look():
        barrier.wait()
        start_due()
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Run.objects.count() == 1


def test_starts_nothing_without_the_step_to_the_next_moment(make):
    """A crash between the two, here by an expression that nobody can read any more, leaves neither."""
    schedule = make()
    Schedule.objects.filter(pk=schedule.pk).update(cron="nonsense", catch_up="once")

    assert (sweeps(), Schedule.objects.get().next_run_at) == (0, NOON)


def test_lets_nobody_else_wait_for_one_that_cannot_be_started(make):
    make(next_run_at=NOON - timedelta(seconds=30), cron="nonsense", catch_up="once")
    make()

    assert sweeps() == 1


# what was missed


@pytest.mark.parametrize(("catch_up", "runs"), [("skip", 1), ("once", 1), ("all", 6)])
def test_makes_up_for_what_was_missed_as_it_says(make, catch_up, runs):
    make(catch_up=catch_up, next_run_at=NOON - timedelta(minutes=5))

    assert sweeps(times=10) == runs


@pytest.mark.parametrize(("catch_up", "runs"), [("skip", 0), ("once", 1), ("all", 2)])
def test_makes_up_for_days_as_it_says(make, catch_up, runs):
    make(catch_up=catch_up, cron="0 7 * * *", next_run_at=datetime(2026, 6, 30, 7, tzinfo=UTC))

    assert sweeps(times=5) == runs
    assert Schedule.objects.get().next_run_at == datetime(2026, 7, 2, 7, tzinfo=UTC)


def test_makes_up_for_a_hundred_at_most(make):
    make(catch_up="all", next_run_at=NOON - timedelta(days=1000))

    assert sweeps(times=MOST_MISSED + 5) == MOST_MISSED


def test_names_the_moment_that_a_run_makes_up_for(make):
    make(catch_up="all", next_run_at=NOON - timedelta(minutes=2))

    sweeps(times=5)

    moments = [
        metadata["scheduled_for"][11:16] for metadata in Run.objects.values_list("metadata", flat=True)
    ]
    assert sorted(moments) == ["11:58", "11:59", "12:00"]


# whose runs they are


def reason() -> tuple[bool, object, str]:
    schedule = Schedule.objects.get()
    return schedule.enabled, schedule.next_run_at, schedule.pause_reason


def test_is_paused_where_its_owner_may_run_agents_no_more(make, bob):
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)
    make()

    assert sweeps() == 0
    refused = "This needs the permission 'execute:agent', which the role 'viewer' does not have."
    assert reason() == (False, None, refused)


@pytest.mark.parametrize(
    "leave", [lambda bob: bob.delete(), lambda bob: User.objects.update(is_active=False)]
)
def test_is_paused_where_its_owner_is_gone(make, bob, leave):
    make()
    leave(bob)

    assert sweeps() == 0
    assert reason()[2].startswith("Its owner is no active member of the workspace any more.")


def test_is_paused_where_its_agent_is_disabled(make, agent):
    Agent.objects.filter(pk=agent.pk).update(enabled=False)
    make()

    assert (sweeps(), "reporter" in reason()[2]) == (0, True)


def test_starts_nothing_while_it_is_paused(make):
    make(enabled=False)

    assert sweeps() == 0


def test_asks_the_database_once_where_nothing_is_due(make):
    make(next_run_at=NOON + timedelta(days=1))

    with CaptureQueriesContext(connection) as captured:
        start_due()

    assert len(captured) == 1


def test_starts_no_more_than_a_sweep_has_time_for(make, monkeypatch):
    monkeypatch.setattr(due, "BATCH", 2)
    for _ in range(3):
        make()

    assert (sweeps(), sweeps()) == (2, 1)
