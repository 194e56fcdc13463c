"""The live part of the admin's first page: what it tells whom, and what it costs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Membership
from runs.models import Status, Worker
from tests.factories import AgentFactory, BudgetFactory, MembershipFactory, RunFactory, UsageRecordFactory
from tests.runs.admin_support import queries_of, signed_in

LIVE = "/admin/overview/"


@pytest.fixture(autouse=True)
def _nothing_kept():
    caches["own"].clear()


@pytest.fixture
def tables():
    """`tables(olivia)`: what somebody sees, by title; each a list of rows of texts."""

    def look(user) -> dict[str, list[list[str]]]:
        context = signed_in(user).get("/admin/").context
        return {one.title: [[str(cell) for cell in row] for row in one.rows] for one in context["panels"]}

    return look


def test_shows_what_is_at_work_the_oldest_first(workspace, olivia, tables):
    RunFactory(workspace=workspace, status=Status.QUEUED, input_query="first")
    RunFactory(workspace=workspace, status=Status.RUNNING, input_query="second")
    RunFactory(workspace=workspace, input_query="ended")
    questions = [row[-1] for row in tables(olivia)["At work"]]
    assert [text.split(">")[1].split("<")[0] for text in questions] == ["first", "second"]


def test_shows_why_runs_have_failed(workspace, olivia, tables):
    RunFactory(workspace=workspace, status=Status.FAILED, error={"class": "tool_error", "message": "secret"})
    [[_ago, _agent, error, _question]] = tables(olivia)["Latest failures"]
    assert error == "tool_error"


def test_names_the_slow_agents_first(workspace, olivia, tables):
    now = timezone.now()
    for name, seconds in (("quick", 1), ("slow", 60)):
        agent = AgentFactory(workspace=workspace, name=name)
        began = now - timedelta(seconds=seconds)
        RunFactory(workspace=workspace, agent=agent, started_at=began, finished_at=now)
    slow, quick = tables(olivia)["Slow agents"]
    assert [slow[0].split(">")[1].split("<")[0], quick[0].split(">")[1].split("<")[0]] == ["slow", "quick"]
    assert float(slow[2]) == pytest.approx(60, rel=0.02)


def test_shows_how_much_of_budgets_is_spent(workspace, olivia, tables):
    BudgetFactory(workspace=workspace, name="monthly", limit_amount=Decimal(10))
    [[name, _period, spent]] = tables(olivia)["Budgets"]
    assert "monthly" in name
    assert "0.0 %" in spent


def test_shows_what_workers_have_in_hand(workspace, olivia, tables):
    worker = Worker.objects.create(host="host", pid=7, concurrency=20, beat_at=timezone.now())
    RunFactory(workspace=workspace, status=Status.RUNNING, worker_id=worker.pk)
    [[name, state, in_hand, _started]] = tables(olivia)["Workers"]
    assert (name, state, in_hand) == ("host:7", "Alive", "1 / 20")


OF_RUNS = ["At work", "Latest failures"]


@pytest.mark.parametrize(
    ("who", "titles"),
    [
        ("bob", [*OF_RUNS, "Slow agents"]),
        ("vera", [*OF_RUNS, "Slow agents"]),
        ("olivia", [*OF_RUNS, "Slow agents", "Budgets", "Workers"]),
        ("audrey", ["Slow agents", "Budgets"]),
    ],
)
def test_shows_what_the_role_may_know(request, tables, who, titles):
    assert list(tables(request.getfixturevalue(who))) == titles


def test_shows_an_auditor_no_content(workspace, audrey):
    RunFactory(workspace=workspace, input_query="a private question", status=Status.FAILED)
    assert "a private question" not in signed_in(audrey).get(LIVE).content.decode()


def test_shows_nothing_of_other_workspaces(other_workspace, olivia):
    RunFactory(workspace=other_workspace, input_query="theirs", status=Status.RUNNING)
    assert "theirs" not in signed_in(olivia).get(LIVE).content.decode()


def test_shows_a_user_their_own_runs(workspace, alice, bob):
    RunFactory(workspace=workspace, user=alice, input_query="of alice", status=Status.RUNNING)
    assert "of alice" not in signed_in(bob).get(LIVE).content.decode()


def test_answers_only_those_who_may_enter(client):
    assert client.get(LIVE).status_code == 302


def test_is_made_once_for_whoever_looks_twice(workspace, olivia):
    client = signed_in(olivia)
    first = queries_of(client, LIVE)
    assert queries_of(client, LIVE) < first / 3


def test_sums_a_day_of_the_ledger_up_now_and_then(workspace, olivia):
    UsageRecordFactory(workspace=workspace, timestamp=timezone.now(), cost=Decimal("0.25"))
    client = signed_in(olivia)
    client.get(LIVE)
    with CaptureQueriesContext(connection) as captured:
        client.get("/admin/")
    assert not [
        query
        for query in captured
        if 'FROM "billing_usagerecord"' in query["sql"] and "GROUP BY" in query["sql"]
    ]


def test_takes_a_lost_role_away_at_once(workspace, olivia):
    RunFactory(workspace=workspace, input_query="of the team", status=Status.RUNNING)
    client = signed_in(olivia)
    assert "of the team" in client.get(LIVE).content.decode()
    Membership.objects.filter(user=olivia).update(role="auditor")
    assert "of the team" not in client.get(LIVE).content.decode()


def test_costs_the_same_however_much_happens(workspace, olivia, django_assert_num_queries):
    client = signed_in(olivia)
    worker = Worker.objects.create(host="host", pid=1, concurrency=20, beat_at=timezone.now())

    def happens(times: int) -> None:
        RunFactory.create_batch(times, workspace=workspace, status=Status.RUNNING, worker_id=worker.pk)
        RunFactory.create_batch(
            times, workspace=workspace, status=Status.FAILED, error={"class": "timeout", "message": ""}
        )
        BudgetFactory.create_batch(times, workspace=workspace)

    happens(1)
    queries_of(client, LIVE)
    caches["own"].clear()
    few = queries_of(client, LIVE)
    happens(6)
    caches["own"].clear()
    with django_assert_num_queries(few):
        client.get(LIVE)


def test_tells_of_the_workspace_that_is_chosen(other_workspace, olivia, tables):
    MembershipFactory(workspace=other_workspace, user=olivia, role="admin")
    BudgetFactory(workspace=other_workspace, name="theirs")
    assert "theirs" in signed_in(olivia).get(f"{LIVE}?workspace=other").content.decode()
    assert "theirs" not in signed_in(olivia).get(LIVE).content.decode()
