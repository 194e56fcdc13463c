"""The admin's first page and sidebar: figures and entries that the user may see, and no others."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from runs.models import Status, Worker
from tests.factories import RunFactory, UsageRecordFactory
from tests.runs.admin_support import queries_of, signed_in


@pytest.fixture
def figures():
    """`figures(olivia)`: the figures that somebody sees, by title."""

    def look(user) -> dict:
        return {one.title: one for one in signed_in(user).get("/admin/").context["figures"]}

    return look


def entries(user) -> list[str]:
    groups = signed_in(user).get("/admin/").context["sidebar_navigation"]
    return [str(entry["title"]) for group in groups for entry in group["items"]]


def test_counts_the_runs_of_now(workspace, olivia, figures):
    RunFactory.create_batch(2, workspace=workspace, status=Status.RUNNING)
    RunFactory(workspace=workspace, status=Status.QUEUED)
    seen = figures(olivia)
    assert [seen["Running now"].value, seen["Waiting in the queue"].value] == ["2", "1"]


def test_counts_how_the_runs_of_the_day_ended(workspace, olivia, figures):
    RunFactory(workspace=workspace)
    RunFactory.create_batch(2, workspace=workspace, status=Status.FAILED)
    seen = figures(olivia)
    assert [seen["Completed in 24 hours"].value, seen["Failed in 24 hours"].value] == ["1", "2"]


def test_counts_no_runs_of_another_workspace(other_workspace, olivia, figures):
    RunFactory(workspace=other_workspace, status=Status.RUNNING)
    assert figures(olivia)["Running now"].value == "0"


def test_sums_up_what_was_spent_today(workspace, olivia, figures):
    UsageRecordFactory.create_batch(2, workspace=workspace, timestamp=timezone.now(), cost=Decimal("0.25"))
    assert figures(olivia)["Spent today"].value == "0.5000 USD"


def test_shows_no_sum_where_nothing_has_a_price(workspace, olivia, figures):
    UsageRecordFactory(workspace=workspace, timestamp=timezone.now(), cost=None)
    spent = figures(olivia)["Spent today"]
    assert (spent.value, spent.note) == ("–", "1 model calls, 1 without a price")


def test_counts_live_workers(olivia, figures):
    Worker.objects.create(host="host", pid=1, concurrency=20, beat_at=timezone.now())
    assert figures(olivia)["Workers"].note == "room for 20 runs"


@pytest.mark.parametrize(
    ("who", "titles"),
    [
        ("bob", {"Running now", "Waiting in the queue", "Completed in 24 hours", "Failed in 24 hours"}),
        ("audrey", {"Spent today"}),
    ],
)
def test_shows_the_figures_of_the_role(request, figures, who, titles):
    assert set(figures(request.getfixturevalue(who))) == titles


def test_shows_nobody_figures_of_no_workspace(figures, django_user_model):
    assert figures(django_user_model.objects.create(username="newcomer")) == {}


def test_costs_the_same_however_many_runs_there_are(workspace, olivia, django_assert_num_queries):
    client = signed_in(olivia)
    queries_of(client, "/admin/")
    few = queries_of(client, "/admin/")
    RunFactory.create_batch(12, workspace=workspace)
    with django_assert_num_queries(few):
        client.get("/admin/")


@pytest.mark.parametrize(
    ("who", "titles"),
    [
        ("bob", ["Overview", "Runs", "Sessions", "Agents", "API keys", "API"]),
        ("audrey", ["Overview", "Versions", "Usage", "Prices", "API keys", "API"]),
    ],
)
def test_lists_what_the_role_may_see(request, who, titles):
    assert entries(request.getfixturevalue(who)) == titles
