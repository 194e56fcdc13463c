import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import Entry, Outcome
from tests.factories import ApiKeyFactory, UsageRecordFactory


@pytest.fixture
def used(workspace):
    """`used(model="gpt-5")`: a settled call in acme."""

    def record(**fields):
        return UsageRecordFactory(workspace=workspace, **fields)

    return record


@pytest.fixture
def usage(api, audrey):
    """`usage(model="gpt-5")`: what audrey reads with these filters."""

    def read(**query):
        response = api(audrey).get("/billing/usage", query)
        assert response.status_code == 200, response.content
        return response.json()

    return read


def test_adds_up_the_settled_calls(used, usage):
    used(input_tokens=1000, cached_tokens=200, cache_write_tokens=50, output_tokens=100, reasoning_tokens=30)
    used(input_tokens=10, output_tokens=1, cost=Decimal("0.000001"))
    assert usage()["totals"] == {
        "requests": 2,
        "input_tokens": 1010,
        "cached_tokens": 200,
        "cache_write_tokens": 50,
        "output_tokens": 101,
        "reasoning_tokens": 30,
        "cost": "0.000211",
        "unpriced_requests": 0,
    }


def test_is_nothing_without_usage(usage):
    assert (usage()["totals"]["requests"], usage()["totals"]["cost"]) == (0, "0")


def test_counts_unpriced_calls_apart(used, usage):
    used()
    used(cost=None)
    assert (usage()["totals"]["cost"], usage()["totals"]["unpriced_requests"]) == ("0.00021", 1)


def test_has_no_cost_where_nothing_is_priced(used, usage):
    used(cost=None)
    assert usage()["totals"]["cost"] is None


def test_adds_exactly(used, usage):
    for _ in range(3):
        used(cost=Decimal("0.100000000001"))
    assert usage()["totals"]["cost"] == "0.300000000003"


def test_breaks_down_by_model_the_busiest_first(used, usage):
    used(model="gpt-5")
    used(model="gpt-4o-mini")
    used(model="gpt-4o-mini")
    assert [(row["model"], row["requests"]) for row in usage()["by_model"]] == [
        ("gpt-4o-mini", 2),
        ("gpt-5", 1),
    ]


def test_breaks_down_by_agent(used, usage):
    agent_id = uuid.uuid4()
    used(agent="researcher", agent_id=agent_id)
    found = usage()["by_agent"]
    assert [(row["agent"], row["agent_id"], row["cost"]) for row in found] == [
        ("researcher", str(agent_id), "0.00021")
    ]


def test_tells_the_currency(workspace, used, usage):
    workspace.currency = "EUR"
    workspace.save()
    assert usage()["currency"] == "EUR"


def test_does_not_add_amounts_of_another_currency(used, usage):
    used()
    used(currency="EUR", cost=Decimal(5))
    answer = usage()
    assert (answer["totals"]["cost"], answer["other_currencies"]) == (
        "0.00021",
        [{"currency": "EUR", "cost": "5"}],
    )


def test_covers_the_last_30_days_by_itself(used, usage):
    used(timestamp=timezone.now() - timedelta(days=31))
    used(timestamp=timezone.now() - timedelta(days=29))
    assert usage()["totals"]["requests"] == 1


def test_includes_the_start_and_excludes_the_end(used, usage):
    for hour in (10, 11, 12):
        used(timestamp=datetime(2026, 5, 1, hour, tzinfo=UTC))
    answer = usage(start="2026-05-01T10:00:00Z", end="2026-05-01T12:00:00Z")
    assert answer["totals"]["requests"] == 2


def test_tells_the_period(usage):
    answer = usage(start="2026-05-01T10:00:00+02:00", end="2026-06-01T00:00:00Z")
    assert answer["period"] == {"start": "2026-05-01T08:00:00Z", "end": "2026-06-01T00:00:00Z"}


@pytest.mark.parametrize("field", ["agent", "user", "api_key"])
@pytest.mark.parametrize("by", ["name", "id"])
def test_filters_by_id_or_name(used, usage, field, by):
    key = uuid.uuid4()
    used(**{field: "this one", f"{field}_id": key})
    used(**{field: "another", f"{field}_id": uuid.uuid4()})
    assert usage(**{field: "this one" if by == "name" else str(key)})["totals"]["requests"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "gpt-5"), ("run_id", uuid.uuid4()), ("session_id", uuid.uuid4()), ("status", "failed")],
)
def test_filters_by_value(used, usage, field, value):
    used(**{field: value})
    used()
    assert usage(**{field: str(value)})["totals"]["requests"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"start": "yesterday"}, "start"),
        ({"start": "2026-05-02T00:00:00Z", "end": "2026-05-01T00:00:00Z"}, "start"),
        ({"run_id": "seven"}, "run_id"),
        ({"status": "pending"}, "status"),
        ({"status": "lost"}, "status"),
        ({"agnet": "researcher"}, "agnet"),
    ],
)
def test_names_a_filter_that_it_does_not_understand(api, audrey, query, field):
    response = api(audrey).get("/billing/usage", query)
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, field)


def test_counts_calls_that_are_open(used, usage):
    used(entry=Entry.OPENED, status=Outcome.PENDING)
    settled = used()
    used(entry=Entry.OPENED, status=Outcome.PENDING, call_id=settled.call_id)
    answer = usage()
    assert (answer["open_calls"], answer["totals"]["requests"]) == (1, 1)


def test_filters_open_calls_too(used, usage):
    used(entry=Entry.OPENED, status=Outcome.PENDING, agent="researcher")
    used(entry=Entry.OPENED, status=Outcome.PENDING, agent="writer")
    assert usage(agent="writer")["open_calls"] == 1


def test_does_not_count_another_workspaces_calls(used, usage, other_workspace):
    UsageRecordFactory(workspace=other_workspace)
    UsageRecordFactory(workspace=other_workspace, entry=Entry.OPENED, status=Outcome.PENDING)
    answer = usage()
    assert (answer["totals"]["requests"], answer["by_model"], answer["open_calls"]) == (0, [], 0)


def test_takes_the_same_number_of_queries_for_many_groups(used, api, audrey, django_assert_max_num_queries):
    for number in range(20):
        used(model=f"model-{number}", agent=f"agent-{number}")
    with django_assert_max_num_queries(8):
        api(audrey).get("/billing/usage")


def test_breaks_agents_down_by_model(used, api, audrey):
    used(agent="researcher", model="gpt-5")
    used(agent="researcher", model="gpt-4o-mini")
    used(agent="writer", model="gpt-5")
    agents = api(audrey).get("/billing/agent-breakdown").json()["agents"]
    assert {agent["agent"]: sorted(row["model"] for row in agent["by_model"]) for agent in agents} == {
        "researcher": ["gpt-4o-mini", "gpt-5"],
        "writer": ["gpt-5"],
    }


@pytest.mark.parametrize("path", ["/billing/usage", "/billing/agent-breakdown", "/billing/usage/history"])
class TestPermission:
    @pytest.mark.parametrize("name", ["alice", "olivia", "audrey", "bob"])
    def test_opens_to_whom_the_role_permits(self, api, request, name, path):
        assert api(request.getfixturevalue(name)).get(path).status_code == 200

    def test_refuses_other_roles(self, api, vera, path):
        assert api(vera).get(path).status_code == 403

    def test_takes_keys_that_were_made_for_all_usage(self, api, alice, workspace, path):
        key = ApiKeyFactory(user=alice, workspace=workspace, scopes=["read:usage"])
        assert api(key).get(path).status_code == 200

    def test_refuses_who_is_not_signed_in(self, api, db, path):
        assert api().get(path).status_code == 401
