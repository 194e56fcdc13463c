"""The admin's first page and sidebar: figures and entries that the user may see, and no others."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from runs.models import Status, Worker
from tests.factories import ApprovalFactory, MembershipFactory, RunFactory, SessionFactory, UsageRecordFactory
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


def test_tells_how_long_the_first_run_has_waited(workspace, olivia, figures):
    assert figures(olivia)["Longest wait"].value == "–"
    queued_at = timezone.now() - timedelta(hours=2)
    RunFactory(workspace=workspace, status=Status.QUEUED, queued_at=queued_at)
    assert figures(olivia)["Longest wait"].value.startswith("2:00:0")


def test_counts_what_a_limit_holds_back(workspace, olivia, figures):
    RunFactory(workspace=workspace, status=Status.QUEUED, held_back=True)
    RunFactory(workspace=workspace, status=Status.QUEUED)
    assert figures(olivia)["Held back"].value == "1"


def test_counts_apart_what_waits_for_its_session(workspace, olivia, figures):
    RunFactory(workspace=workspace, status=Status.QUEUED, session=SessionFactory(workspace=workspace))
    waiting = figures(olivia)["Waiting in the queue"]
    assert (waiting.value, waiting.note) == ("0", "1 more wait for another run of their session")


def test_counts_what_waits_for_a_person(workspace, olivia, figures):
    run = RunFactory(workspace=workspace, status=Status.WAITING)
    ApprovalFactory.create_batch(2, run=run)
    ApprovalFactory(run=run, status="approved")
    waiting = figures(olivia)["Waiting for a person"]
    assert (waiting.value, waiting.link) == ("2", "/admin/runs/approval/")


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


OF_RUNS = {
    *("Running now", "Waiting in the queue", "Longest wait", "Held back"),
    *("Completed in 24 hours", "Failed in 24 hours", "Waiting for a person"),
}


@pytest.mark.parametrize(
    ("who", "titles"),
    [
        ("bob", OF_RUNS),
        ("vera", OF_RUNS),
        ("olivia", OF_RUNS | {"Spent today", "Workers"}),
        ("audrey", {"Spent today"}),
    ],
)
def test_shows_the_figures_of_the_role(request, figures, who, titles):
    assert set(figures(request.getfixturevalue(who))) == titles


def test_shows_nobody_figures_of_no_workspace(figures, django_user_model):
    assert figures(django_user_model.objects.create(username="newcomer")) == {}


def test_costs_the_same_however_many_runs_there_are(workspace, olivia, django_assert_num_queries):
    client = signed_in(olivia)
    RunFactory(workspace=workspace)
    queries_of(client, "/admin/")
    few = queries_of(client, "/admin/")
    RunFactory.create_batch(12, workspace=workspace)
    with django_assert_num_queries(few):
        client.get("/admin/")


@pytest.mark.parametrize(
    ("who", "titles"),
    [
        (
            "bob",
            [
                "Overview",
                "Runs",
                "Approvals",
                "Sessions",
                "Memories",
                "Schedules",
                "Agents",
                "Workflows",
                "Knowledge bases",
                "API keys",
                "API",
            ],
        ),
        (
            "audrey",
            [
                "Overview",
                "Versions",
                "Usage",
                "Budgets",
                "Exports",
                "Prices",
                "Repricings",
                "API keys",
                "Audit log",
                "API",
            ],
        ),
    ],
)
def test_lists_what_the_role_may_see(request, who, titles):
    assert entries(request.getfixturevalue(who)) == titles


@pytest.fixture
def plots():
    """`plots(olivia, …)`: the titles of the plots that somebody sees."""

    def look(user, query="") -> list[str]:
        page = signed_in(user).get(f"/admin/{query}").context["plots"]
        found = [re.search("<title>(.*?)</title>", picture) for picture in page.pictures]
        return [match[1] for match in found if match]

    return look


OVER_TIME = ["Runs", "Success rate (%)", "Duration of runs (s)", "Tokens"]
OF_MONEY = ["Cost by agent", "Cost by model"]


@pytest.mark.parametrize(
    ("who", "titles"),
    [
        ("bob", OVER_TIME),
        ("vera", OVER_TIME),
        ("olivia", OVER_TIME + OF_MONEY),
        ("audrey", OVER_TIME + OF_MONEY),
    ],
)
def test_shows_the_plots_of_the_role(request, plots, who, titles):
    assert plots(request.getfixturevalue(who)) == titles


def test_shows_nobody_plots_of_no_workspace(django_user_model):
    newcomer = django_user_model.objects.create(username="newcomer")
    assert signed_in(newcomer).get("/admin/").context["plots"] is None


def test_plots_what_has_ended(workspace, olivia):
    now = timezone.now()
    RunFactory.create_batch(3, workspace=workspace, started_at=now, finished_at=now)
    [runs, *_] = signed_in(olivia).get("/admin/").context["plots"].pictures
    assert "completed: 3" in runs


def test_plots_cost_by_agent(workspace, olivia):
    UsageRecordFactory(workspace=workspace, agent="<b>dear</b>", cost=Decimal("1.5"))
    pictures = signed_in(olivia).get("/admin/").context["plots"].pictures
    assert "&lt;b&gt;dear&lt;/b&gt;: 1.5 USD" in pictures[4]


def test_plots_a_user_their_own(workspace, bob, alice):
    now = timezone.now()
    RunFactory(workspace=workspace, user=alice, started_at=now, finished_at=now)
    [runs, *_] = signed_in(bob).get("/admin/").context["plots"].pictures
    assert "completed: 1" not in runs


def test_plots_a_month_on_request(olivia):
    [runs, *_] = signed_in(olivia).get("/admin/?days=30").context["plots"].pictures
    assert "30 values" in runs


def test_plots_the_workspace_that_is_chosen(workspace, other_workspace, olivia):
    MembershipFactory(workspace=other_workspace, user=olivia, role="viewer")
    page = signed_in(olivia).get("/admin/?workspace=other").context["plots"]
    assert [choice.title for choice in page.workspaces if choice.is_chosen] == ["Other"]
    assert len(page.pictures) == len(OVER_TIME)


def test_plots_no_workspace_of_others(workspace, other_workspace, olivia):
    now = timezone.now()
    RunFactory(workspace=other_workspace, started_at=now, finished_at=now)
    [runs, *_] = signed_in(olivia).get("/admin/?workspace=other").context["plots"].pictures
    assert "completed: 1" not in runs


def account_links(user) -> dict[str, str]:
    links = signed_in(user).get("/admin/").context["account_links"]
    return {str(one["title"]): one["link"] for one in links}


def test_links_from_the_menu_below_ones_name_to_ways_to_sign_in_where_there_are_any(olivia, settings):
    assert account_links(olivia) == {"Change password": "/admin/password_change/"}
    github = settings.OAUTH_PROVIDERS["github"] | {"client_id": "id", "client_secret": "secret"}
    settings.OAUTH_PROVIDERS = {"github": github}
    assert account_links(olivia)["Ways to sign in"] == "/sign-in/accounts/"


def test_has_no_link_to_change_a_password_that_one_does_not_have(olivia):
    olivia.set_unusable_password()
    olivia.save()
    assert account_links(olivia) == {}


def test_signs_nobody_in_with_links_of_somebody(client, db):
    found = client.get("/admin/login/")
    assert (found.status_code, found.context["account_links"]) == (200, [])
