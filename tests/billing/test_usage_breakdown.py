"""Usage by one or two dimensions, and its history by one."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.pseudonyms import pseudonym
from agentplatform.lib.hash_chain import seal_next
from billing.models import Outcome
from billing.names import erase_names
from billing.sealing import LEDGER
from tests.factories import UsageRecordFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

SESSION, KEY = uuid.UUID(int=5), uuid.UUID(int=6)


@pytest.fixture(params=["sealed", "waiting"])
def used(workspace, request):
    """`used(model="gpt-5")`: a settled call in acme three days ago, that is in the roll-ups or waits for them."""

    def record(**fields):
        at = timezone.now() - timedelta(days=3)
        made = UsageRecordFactory(workspace=workspace, **{"timestamp": at, **fields})
        if request.param == "sealed":
            seal_next(LEDGER)
        return made

    return record


@pytest.fixture
def broken_down(api, audrey):
    """`broken_down("user", model="gpt-5")`: what audrey reads."""

    def read(by, reader=audrey, **query):
        response = api(reader).get("/billing/usage/breakdown", {"by": by, **query})
        assert response.status_code == 200, response.content
        return response.json()

    return read


@pytest.fixture
def series(api, audrey):
    """`series("agent")`: the history of usage by day and agent."""

    def read(group, **query):
        response = api(audrey).get("/billing/usage/history", {"group_by": group, **query})
        assert response.status_code == 200, response.content
        return response.json()

    return read


@pytest.mark.parametrize(
    ("by", "fields", "keys"),
    [
        ("agent", {"agent": "a", "agent_id": KEY}, {"agent_id": str(KEY), "agent": "a"}),
        ("provider", {"provider": "groq"}, {"provider": "groq"}),
        ("model", {"model": "m"}, {"provider": "openai", "model": "m"}),
        ("workflow", {"workflow": "w", "workflow_id": KEY}, {"workflow_id": str(KEY), "workflow": "w"}),
        ("user", {"user": "bob", "user_id": KEY}, {"user_id": str(KEY), "user": "bob"}),
        ("api_key", {"api_key": "ci", "api_key_id": KEY}, {"api_key_id": str(KEY), "api_key": "ci"}),
        ("tag", {"tags": ["x"]}, {"tag": "x"}),
        ("session", {"session_id": SESSION}, {"session_id": str(SESSION)}),
        ("status", {"status": Outcome.FAILED}, {"status": "failed"}),
        (
            "agent,model",
            {"agent": "a"},
            {"agent_id": None, "agent": "a", "provider": "openai", "model": "gpt-4o-mini"},
        ),
    ],
)
def test_names_groups_by_their_dimension(used, broken_down, by, fields, keys):
    used(**fields)
    [group] = broken_down(by)["groups"]
    assert keys.items() <= group.items()
    assert group["cost"] == "0.00021"


def test_puts_the_busiest_first(used, broken_down):
    for model in ("a", "b", "b"):
        used(model=model)
    assert [group["requests"] for group in broken_down("model")["groups"]] == [2, 1]


def test_puts_the_costliest_first_where_that_is_asked_for(used, broken_down):
    used(model="dear", cost=Decimal(5))
    for _ in range(2):
        used(model="cheap", cost=Decimal(1))
    used(model="unknown", cost=None)
    names = [group["model"] for group in broken_down("model", ordering="-cost")["groups"]]
    assert names == ["dear", "cheap", "unknown"]


def test_sums_up_what_is_not_on_the_page(used, broken_down):
    for model in ("a", "b", "c"):
        used(model=model, cost=Decimal(1))
    page = broken_down("model", limit=1, offset=1)
    assert (page["groups"][0]["model"], page["total"], page["has_more"]) == ("b", 3, True)
    assert (page["others"]["requests"], page["others"]["cost"]) == (2, "2")


def test_has_decimals_of_nothing_too(broken_down):
    answer = broken_down("model")
    assert (answer["totals"]["cost"], answer["others"]["cost"]) == ("0", "0")


def test_has_no_others_by_tag(used, broken_down):
    used(tags=["x", "y"])
    answer = broken_down("tag")
    assert (len(answer["groups"]), answer["totals"]["requests"], answer["others"]) == (2, 1, None)


def test_gathers_what_has_no_tag(used, broken_down):
    used(tags=[])
    assert broken_down("tag")["groups"][0]["tag"] is None


def test_adds_only_what_is_in_the_workspaces_currency(used, broken_down):
    used(currency="EUR", cost=Decimal(7))
    used(cost=Decimal(1))
    answer = broken_down("model")
    assert (answer["groups"][0]["cost"], answer["groups"][0]["requests"]) == ("1", 2)
    assert answer["other_currencies"] == [{"currency": "EUR", "cost": "7"}]


@pytest.mark.parametrize(
    "filters",
    [
        {"workflow": "w"},
        {"tag": "x"},
        {"provider": "groq"},
        {"end_user": "customer"},
        {"user": "bob"},
        {"tag": "x", "user": "bob"},
        {"status": "ok", "workflow": "w"},
        {"session_id": str(SESSION)},
    ],
)
@pytest.mark.parametrize("by", ["agent", "session", "tag"])
def test_narrows_by_filters(used, broken_down, filters, by):
    used(
        workflow="w",
        tags=["x"],
        provider="groq",
        end_user="customer",
        user="bob",
        user_id=KEY,
        session_id=SESSION,
    )
    used(user="eve", status=Outcome.FAILED)
    assert [group["requests"] for group in broken_down(by, **filters)["groups"]] == [1]


def test_knows_users_by_their_pseudonym_once_they_are_erased(used, broken_down, workspace):
    used(user="bob", user_id=KEY)
    used(user="robert", user_id=KEY)
    erase_names(KEY, workspace.pk)
    [group] = broken_down("user")["groups"]
    assert (group["user"], group["requests"]) == (pseudonym(KEY), 2)


def test_leaves_out_other_workspaces(used, broken_down):
    used()
    UsageRecordFactory(workspace=WorkspaceFactory(), timestamp=timezone.now() - timedelta(days=3))
    seal_next(LEDGER)
    assert broken_down("status")["totals"]["requests"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "weather"}, "by"),
        ({"by": "agent,agent"}, "by"),
        ({"by": "agent,model,user"}, "by"),
        ({"by": "user", "ordering": "name"}, "ordering"),
        ({"by": "user", "limit": 0}, "limit"),
        ({"by": "user", "limit": 5000}, "limit"),
        ({"by": "user", "offset": -1}, "offset"),
        ({"by": "user", "agnet": "a"}, "agnet"),
        ({"by": "user", "status": "pending"}, "status"),
    ],
)
def test_refuses_what_it_cannot_answer(api, audrey, query, field):
    response = api(audrey).get("/billing/usage/breakdown", query)
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, field)


def test_gives_the_history_of_the_first_groups_and_of_the_others(used, series):
    for agent in ("a", "a", "b", "c"):
        used(agent=agent)
    answer = series("agent", limit=1)
    [first] = answer["series"]
    assert (first["agent"], first["requests"], first["buckets"][0]["requests"]) == ("a", 2, 2)
    assert (answer["others"]["requests"], answer["others"]["buckets"][0]["requests"]) == (2, 2)


def test_begins_days_in_the_workspaces_time_zone(used, series, workspace):
    workspace.time_zone = "Asia/Kolkata"
    workspace.save()
    used()
    answer = series("agent")
    assert (answer["tz"], answer["buckets"][0]["start"][11:]) == ("Asia/Kolkata", "18:30:00Z")


@pytest.mark.parametrize("group", ["session", "weather"])
def test_refuses_histories_by_what_has_none(api, audrey, group):
    response = api(audrey).get("/billing/usage/history", {"group_by": group})
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, "group_by")


@pytest.mark.parametrize("by", ["agent", "user", "model", "session", "tag"])
def test_shows_a_user_the_own_usage_alone(used, broken_down, bob, by):
    used(user="bob", user_id=bob.pk)
    used(user="eve", user_id=KEY)
    answer = broken_down(by, reader=bob)
    assert (answer["totals"]["requests"], [group["requests"] for group in answer["groups"]]) == (1, [1])


@pytest.mark.parametrize("path", ["usage", "agent-breakdown", "usage/history"])
def test_shows_a_user_no_sums_of_others(used, api, bob, path):
    used(user="eve", user_id=KEY)
    assert api(bob).get(f"/billing/{path}").json()["totals"]["requests"] == 0


def test_lets_nobody_widen_the_own_usage_by_a_filter(used, api, bob):
    used(user="eve", user_id=KEY)
    assert api(bob).get("/billing/usage", {"user": "eve"}).json()["totals"]["requests"] == 0


def test_asks_the_database_as_often_for_many_groups_as_for_one(
    used, api, audrey, django_assert_max_num_queries
):
    for number in range(5):
        used(model=f"model-{number}")
    with django_assert_max_num_queries(8):
        api(audrey).get("/billing/usage/breakdown", {"by": "model,user"})
