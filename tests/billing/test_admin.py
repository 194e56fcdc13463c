from datetime import timedelta
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from billing import price_list
from billing.models import Budget, Entry, Outcome, Price, Repricing, UsageRecord
from tests.factories import AgentFactory, BudgetFactory, PriceFactory, UsageRecordFactory

LEDGER = "/admin/billing/usagerecord/"
PRICES = "/admin/billing/price/"
BUDGETS = "/admin/billing/budget/"


@pytest.fixture
def admin():
    """`admin(alice)`: alice in the admin."""

    def enter(user) -> Client:
        user.is_staff = True
        user.save()
        client = Client()
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def price_form(workspace):
    tomorrow = timezone.now() + timedelta(days=1)
    return {
        "workspace": workspace.id,
        "provider": "openai",
        "model": "house-model",
        "input_per_million": "2",
        "output_per_million": "8",
        "valid_from_0": f"{tomorrow:%Y-%m-%d}",
        "valid_from_1": "00:00:00",
    }


def test_lists_settled_calls(admin, audrey, workspace):
    UsageRecordFactory(workspace=workspace, model="the-settled-one")
    UsageRecordFactory(workspace=workspace, model="the-open-one", entry=Entry.OPENED, status=Outcome.PENDING)
    page = admin(audrey).get(LEDGER).content.decode()
    assert ("the-settled-one" in page, "the-open-one" in page) == (True, False)


def test_lists_opened_calls_when_asked(admin, audrey, workspace):
    UsageRecordFactory(workspace=workspace, model="the-open-one", entry=Entry.OPENED, status=Outcome.PENDING)
    assert "the-open-one" in admin(audrey).get(LEDGER, {"entry": "opened"}).content.decode()


def test_is_searched_by_a_run_and_by_a_model_call(admin, audrey, workspace):
    client = admin(audrey)
    one, other = UsageRecordFactory.create_batch(2, workspace=workspace)
    correction = UsageRecordFactory(
        workspace=workspace, call_id=one.call_id, run_id=uuid4(), correction_of=one.pk, revision=2
    )

    def found(term) -> set:
        return {row.pk for row in client.get(LEDGER, {"q": term}).context["cl"].result_list}

    assert found(one.run_id) == {one.pk}
    assert found(f" {one.call_id} ") == {one.pk, correction.pk}
    assert found(uuid4()) == found("no id") == set()
    assert found("") == {one.pk, other.pk, correction.pk}


def test_never_counts_the_whole_ledger(admin, audrey, workspace, monkeypatch):
    monkeypatch.setattr("agentplatform.lib.admin_lists.MOST_ROWS", 2)
    UsageRecordFactory.create_batch(4, workspace=workspace)
    response = admin(audrey).get(LEDGER)
    assert response.context["cl"].result_count == 2
    assert "more than 2 usage records" in response.content.decode()


def test_finds_the_calls_of_a_run(admin, audrey, workspace):
    found = UsageRecordFactory(workspace=workspace, model="the-one")
    UsageRecordFactory(workspace=workspace, model="another")
    page = admin(audrey).get(LEDGER, {"q": str(found.run_id)}).content.decode()
    assert ("the-one" in page, "another" in page) == (True, False)


def test_shows_no_call_of_another_workspace(admin, charlie, workspace):
    UsageRecordFactory(workspace=workspace, model="the-secret-one")
    assert "the-secret-one" not in admin(charlie).get(LEDGER).content.decode()


def test_lists_with_the_same_queries_however_many(admin, audrey, workspace, django_assert_max_num_queries):
    client = admin(audrey)
    for _ in range(20):
        UsageRecordFactory(workspace=workspace)
    with django_assert_max_num_queries(10):
        client.get(LEDGER)


def test_shows_a_call_without_a_way_to_change_it(admin, alice, workspace):
    record = UsageRecordFactory(workspace=workspace)
    page = admin(alice).get(f"{LEDGER}{record.id}/change/").content.decode()
    assert (str(record.run_id) in page, 'name="_save"' in page) == (True, False)


@pytest.mark.parametrize("path", ["add/", "{id}/delete/"])
def test_refuses_to_add_or_delete_a_call(admin, alice, workspace, path):
    record = UsageRecordFactory(workspace=workspace)
    assert admin(alice).post(LEDGER + path.format(id=record.id)).status_code == 403


def test_refuses_to_delete_calls_by_an_action(admin, alice, workspace):
    record = UsageRecordFactory(workspace=workspace)
    form = {"action": "delete_selected", "_selected_action": [str(record.id)], "post": "yes"}
    admin(alice).post(LEDGER, urlencode(form, doseq=True), content_type="application/x-www-form-urlencoded")
    assert UsageRecord.objects.count() == 1


def test_adds_a_price(admin, alice, price_form):
    admin(alice).post(f"{PRICES}add/", price_form)
    assert Price.objects.get().model == "house-model"


@pytest.mark.parametrize(
    "change",
    [
        {"input_per_million": "-1"},
        {"output_per_million": "1000001"},
        {"valid_until_0": "2020-01-01", "valid_until_1": "00:00"},
        {"tiers": '[{"above": 0}]'},
    ],
)
def test_refuses_a_price_that_the_api_would_refuse(admin, alice, price_form, change):
    response = admin(alice).post(f"{PRICES}add/", price_form | change)
    assert (response.status_code, Price.objects.count()) == (200, 0)


def test_adds_the_next_version_of_a_price(admin, alice, price_form):
    client = admin(alice)
    for _ in range(2):
        client.post(f"{PRICES}add/", price_form)
    assert list(Price.objects.order_by("version").values_list("version", flat=True)) == [1, 2]


def test_shows_which_version_is_in_force(admin, alice, workspace):
    moment = timezone.now() - timedelta(days=1)
    for version in (1, 2):
        PriceFactory(workspace=workspace, valid_from=moment, version=version)
    shown = admin(alice).get(PRICES).context["cl"].result_list
    assert {price.version: price_list.is_in_force(price) for price in shown} == {1: False, 2: True}


def test_requests_a_repricing(admin, alice, workspace):
    form = {
        "workspace": workspace.id, "start_0": "2026-11-01", "start_1": "00:00", "end_0": "2026-12-01",
        "end_1": "00:00", "reason": "A wrong price.",
    }  # fmt: skip
    admin(alice).post("/admin/billing/repricing/add/", form)
    assert Repricing.objects.get().user_id == alice.pk


def test_refuses_a_repricing_whose_end_comes_first(admin, alice, workspace):
    form = {
        "workspace": workspace.id, "start_0": "2026-12-01", "start_1": "00:00", "end_0": "2026-11-01",
        "end_1": "00:00", "reason": "A wrong price.",
    }  # fmt: skip
    assert admin(alice).post("/admin/billing/repricing/add/", form).status_code == 200
    assert not Repricing.objects.exists()


def test_lets_an_auditor_only_look_at_prices(admin, audrey, workspace, price_form):
    PriceFactory(workspace=workspace)
    client = admin(audrey)
    answers = client.get(PRICES).status_code, client.post(f"{PRICES}add/", price_form).status_code
    assert answers == (200, 403)


def test_refuses_a_price_for_another_workspace(admin, alice, other_workspace, price_form):
    admin(alice).post(f"{PRICES}add/", price_form | {"workspace": other_workspace.id})
    assert Price.objects.count() == 0


@pytest.mark.parametrize(("days", "left"), [(1, 0), (-1, 1)])
def test_deletes_only_a_price_that_is_not_in_force_yet(admin, alice, workspace, days, left):
    price = PriceFactory(workspace=workspace, valid_from=timezone.now() + timedelta(days=days))
    admin(alice).post(f"{PRICES}{price.id}/delete/", {"post": "yes"})
    assert Price.objects.count() == left


def test_does_not_edit_a_price(admin, alice, workspace, price_form):
    price = PriceFactory(workspace=workspace)
    assert admin(alice).post(f"{PRICES}{price.id}/change/", price_form).status_code == 403


def test_shows_what_a_call_has_cost_without_empty_decimals(admin, audrey, workspace):
    UsageRecordFactory(workspace=workspace, cost="1.500000000000", currency="USD")
    page = admin(audrey).get(LEDGER).content.decode()
    assert ("1.5 USD" in page, "1.500" in page) == (True, False)


def test_leads_from_a_call_to_its_run_those_who_may_read_runs(admin, alice, audrey, workspace):
    record = UsageRecordFactory(workspace=workspace)
    run = f"/admin/runs/run/{record.run_id}/change/"
    pages = [admin(user).get(f"{LEDGER}{record.id}/change/").content.decode() for user in (alice, audrey)]
    assert [run in page for page in pages] == [True, False]


def test_offers_the_names_of_what_a_budget_may_be_of(
    admin, alice, olivia, charlie, workspace, other_workspace
):
    AgentFactory(workspace=workspace, name="our-agent")
    AgentFactory(workspace=other_workspace, name="their-agent")
    fields = admin(alice).get(f"{BUDGETS}add/").context["adminform"].form.fields
    offered = [[name for _, name in fields[field].choices] for field in ("agent_id", "user_id")]
    assert offered == [["---------", "our-agent"], ["---------", "alice", "olivia"]]


def test_makes_a_budget_of_an_agent(admin, alice, workspace):
    agent = AgentFactory(workspace=workspace, name="our-agent")
    form = {
        "workspace": workspace.id,
        "name": "agents",
        "period": "day",
        "limit_amount": "5",
        "action": "block",
    }
    admin(alice).post(f"{BUDGETS}add/", form | {"agent_id": agent.pk})
    budget = Budget.objects.get()
    assert (budget.agent_id, budget.user_id) == (agent.pk, None)
    page = admin(alice).get(f"{BUDGETS}{budget.pk}/change/").content.decode()
    assert ("our-agent" in page, str(agent.pk) in page) == (True, False)


def test_makes_no_budget_of_another_workspaces_agent(admin, alice, workspace, other_workspace):
    theirs = AgentFactory(workspace=other_workspace)
    form = {
        "workspace": workspace.id,
        "name": "agents",
        "period": "day",
        "limit_amount": "5",
        "action": "block",
    }
    assert admin(alice).post(f"{BUDGETS}add/", form | {"agent_id": theirs.pk}).status_code == 200
    assert not Budget.objects.exists()


def test_names_an_agent_that_is_gone_by_its_id(admin, alice, workspace):
    budget = BudgetFactory(workspace=workspace, agent_id=uuid4())
    assert str(budget.agent_id) in admin(alice).get(f"{BUDGETS}{budget.pk}/change/").content.decode()
