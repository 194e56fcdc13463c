"""A workspace's currency is settled with its first price or its first paid call."""

from __future__ import annotations

import pytest

from billing.models import Entry, Outcome
from tests.factories import PriceFactory, UsageRecordFactory
from tests.runs.admin_support import signed_in

REFUSED = [
    (["price"], "The workspace has prices in USD."),
    (["usage"], "The workspace has usage in USD."),
    (["price", "usage"], "The workspace has prices and usage in USD."),
]


@pytest.fixture
def having(workspace):
    """`having(["price"])`: gives acme a price."""

    def give(things):
        for thing in things:
            {"price": PriceFactory, "usage": UsageRecordFactory}[thing](workspace=workspace)

    return give


@pytest.fixture
def change(api, alice):
    """`change(currency="EUR")`: the response to alice's change of acme."""
    return lambda **values: api(alice).patch("/workspaces/acme", values)


@pytest.fixture
def enter(alice, workspace):
    """`enter("EUR")`: the page that answers alice when she enters that on acme's page in the admin."""

    def post(currency):
        form = {
            "name": "Acme Ltd",
            "currency": currency,
            "time_zone": "UTC",
            "memberships-TOTAL_FORMS": "0",
            "memberships-INITIAL_FORMS": "0",
        }
        return signed_in(alice).post(f"/admin/accounts/workspace/{workspace.pk}/change/", form)

    return post


@pytest.mark.parametrize(("things", "reason"), REFUSED)
def test_stays_once_there_are_amounts_in_it(change, having, workspace, things, reason):
    having(things)
    response = change(currency="EUR")
    (fault,) = response.json()["error"]["details"]
    assert (response.status_code, fault["field"]) == (422, "currency")
    assert fault["message"] == f"{reason} Keep USD, or make another workspace with EUR."
    workspace.refresh_from_db()
    assert workspace.currency == "USD"


@pytest.mark.parametrize(("things", "reason"), REFUSED)
def test_stays_in_the_admin_too(enter, having, workspace, things, reason):
    having(things)
    assert f"{reason} Keep USD, or make another workspace with EUR." in enter("EUR").content.decode()
    workspace.refresh_from_db()
    assert (workspace.currency, workspace.name) == ("USD", "Acme")


def test_may_change_before(change, enter, workspace):
    assert change(currency="EUR").json()["currency"] == "EUR"
    assert enter("CHF").status_code == 302
    workspace.refresh_from_db()
    assert workspace.currency == "CHF"


def test_may_change_while_other_workspaces_have_amounts(change, other_workspace):
    PriceFactory(workspace=other_workspace)
    UsageRecordFactory(workspace=other_workspace)
    assert change(currency="EUR").status_code == 200


def test_is_not_settled_by_a_call_that_has_not_ended(change, workspace):
    UsageRecordFactory(workspace=workspace, entry=Entry.OPENED, status=Outcome.PENDING)
    assert change(currency="EUR").status_code == 200


def test_leaves_other_fields_to_change(change, enter, having):
    having(["price", "usage"])
    assert change(name="Acme Ltd", currency="USD").json()["name"] == "Acme Ltd"
    assert enter("USD").status_code == 302


@pytest.mark.parametrize("currency", ["usd", "US1", "€€€"])
def test_has_to_be_a_currency_in_the_admin_too(enter, currency):
    assert "Use an ISO 4217 code" in enter(currency).content.decode()
