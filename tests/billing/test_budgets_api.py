"""The API of budgets."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import F

from billing.models import Budget, BudgetNotice, BudgetPeriod
from tests.billing.budgets import Calls
from tests.factories import AgentFactory, ApiKeyFactory, BudgetFactory, PriceFactory

pytestmark = pytest.mark.django_db

MONTHLY = {"name": "monthly", "period": "month", "limit_amount": "100"}


@pytest.fixture
def calls(workspace):
    PriceFactory(workspace=workspace, valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    return Calls.of(workspace)


@pytest.fixture
def made(api, alice, django_capture_on_commit_callbacks):
    """`made(name=…)`: the answer to alice's request, after its commit."""

    def make(**fields):
        with django_capture_on_commit_callbacks(execute=True):
            return api(alice).post("/billing/budgets", {**MONTHLY, **fields})

    return make


def test_makes_a_budget_in_the_workspaces_currency_and_time_zone(workspace, made):
    workspace.currency, workspace.time_zone = "EUR", "Europe/Berlin"
    workspace.save()
    answer = made()

    assert answer.status_code == 201
    shown = {
        name: answer.json()[name]
        for name in ("currency", "time_zone", "warning_levels", "action", "created_by")
    }
    assert shown == {
        "currency": "EUR",
        "time_zone": "Europe/Berlin",
        "warning_levels": [50, 80, 100],
        "action": "alert",
        "created_by": "alice",
    }


def test_answers_a_change_with_all_fields(api, alice, workspace):
    budget = BudgetFactory(workspace=workspace)

    assert api(alice).patch(f"/billing/budgets/{budget.pk}", {"limit_tokens": 5}).json()["created_by"] is None


def test_counts_what_its_period_has_spent_already(calls, made, api, alice):
    calls.make()
    made()

    assert api(alice).get("/billing/budgets/monthly/status").json()["spent_amount"] == "0.01"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"limit_amount": None}, "limit_amount"),
        ({"limit_amount": "0"}, "limit_amount"),
        ({"limit_amount": "-1"}, "limit_amount"),
        ({"limit_tokens": 0}, "limit_tokens"),
        ({"limit_tokens": 10**30}, "limit_tokens"),
        ({"period": "year"}, "period"),
        ({"action": "explode"}, "action"),
        ({"warning_levels": [0]}, "warning_levels.0"),
        ({"recipients": ["nobody"]}, "recipients.0"),
        ({"agent_id": str(uuid.uuid4())}, "agent_id"),
        ({"user_id": str(uuid.uuid4())}, "user_id"),
        ({"api_key_id": "x"}, "api_key_id"),
        ({"model": "gpt-4o"}, "provider"),
        ({"currency_code": "EUR"}, "currency_code"),
        ({"name": ""}, "name"),
    ],
)
def test_names_what_is_wrong(made, fields, wrong):
    answer = made(**fields)

    assert answer.status_code == 422
    assert wrong in [entry["field"] for entry in answer.json()["error"]["details"]]


def test_is_of_nothing_that_belongs_to_another_workspace(made, other_workspace, charlie):
    theirs = {
        "agent_id": AgentFactory(workspace=other_workspace).pk,
        "user_id": charlie.pk,
        "api_key_id": ApiKeyFactory(workspace=other_workspace, user=charlie).pk,
    }
    answer = made(**{name: str(value) for name, value in theirs.items()})

    assert {entry["field"] for entry in answer.json()["error"]["details"]} == set(theirs)


def test_refuses_a_second_of_the_same_name(made):
    made()

    assert made().status_code in (409, 422)


def test_never_changes_whose_calls_it_is_of(made, api, alice):
    made()
    answer = api(alice).patch("/billing/budgets/monthly", {"period": "day"})

    assert answer.json()["error"]["details"][0]["field"] == "period"


def test_changes_its_limit(made, api, alice):
    made()
    answer = api(alice).patch("/billing/budgets/monthly", {"limit_tokens": 10, "limit_amount": None})

    assert (answer.json()["limit_amount"], answer.json()["limit_tokens"]) == (None, 10)


def test_tells_anew_of_levels_that_a_higher_limit_has_not_reached(workspace, calls, api, alice):
    budget = BudgetFactory(workspace=workspace, limit_amount=Decimal("0.01"), action="alert")
    calls.make()
    api(alice).patch(f"/billing/budgets/{budget.pk}", {"limit_amount": "0.015"})

    assert list(BudgetNotice.objects.filter(budget=budget).values_list("level", flat=True)) == [50]


def test_is_sent_back_as_it_was_read(made, api, alice):
    made()
    budget = api(alice).get("/billing/budgets/monthly").json()

    assert api(alice).put("/billing/budgets/monthly", budget).status_code == 200


def test_shows_its_present_period(workspace, calls, api, alice, time_machine):
    time_machine.move_to("2026-03-15T12:00:00Z", tick=False)
    workspace.time_zone = "Europe/Berlin"
    workspace.save()
    budget = BudgetFactory(workspace=workspace, period="month", limit_tokens=10_000)
    calls.make()
    calls.open()

    assert api(alice).get(f"/billing/budgets/{budget.name}/status").json() == {
        "budget_id": str(budget.pk),
        "period": "month",
        "time_zone": "Europe/Berlin",
        "currency": "USD",
        "start": "2026-02-28T23:00:00Z",
        "resets_at": "2026-03-31T22:00:00Z",
        "spent_amount": "0.01",
        "reserved_amount": "0.01",
        "remaining_amount": "0.98",
        "spent_tokens": 2000,
        "reserved_tokens": 2000,
        "remaining_tokens": 6000,
        "percent": "20",
    }


def test_shows_past_periods_the_newest_first(workspace, calls, api, alice):
    budget = BudgetFactory(workspace=workspace)
    calls.make()
    day = timedelta(days=1)
    BudgetPeriod.objects.update(period_start=F("period_start") - day, period_end=F("period_end") - day)
    calls.make()
    calls.make()
    answer = api(alice).get(f"/billing/budgets/{budget.pk}/history").json()

    assert [row["spent_amount"] for row in answer["items"]] == ["0.02", "0.01"]


def test_lists_with_as_many_queries_for_many(workspace, api, alice, django_assert_max_num_queries):
    for _ in range(10):
        BudgetFactory(workspace=workspace, created_by=alice)

    with django_assert_max_num_queries(6):
        answer = api(alice).get("/billing/budgets")
    assert len(answer.json()["items"]) == 10


def test_deletes_it_with_its_counters(workspace, calls, api, alice):
    budget = BudgetFactory(workspace=workspace)
    calls.make()
    calls.open()
    answer = api(alice).delete(f"/billing/budgets/{budget.pk}")

    assert answer.status_code == 204
    assert not BudgetPeriod.objects.exists()


@pytest.mark.parametrize("verb", ["get", "patch", "delete"])
def test_is_nobodys_in_another_workspace(workspace, api, charlie, verb):
    budget = BudgetFactory(workspace=workspace)

    assert getattr(api(charlie), verb)(f"/billing/budgets/{budget.pk}").status_code == 404
    assert Budget.objects.filter(pk=budget.pk).exists()


@pytest.mark.parametrize(("who", "reads", "writes"), [
    ("alice", 200, 201), ("olivia", 200, 403), ("bob", 403, 403), ("vera", 403, 403), ("audrey", 200, 403),
])  # fmt: skip
def test_is_for_those_who_may(api, request, who, reads, writes):
    client = api(request.getfixturevalue(who))

    assert client.get("/billing/budgets").status_code == reads
    assert client.post("/billing/budgets", MONTHLY).status_code == writes
