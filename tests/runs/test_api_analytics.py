"""GET /analytics/…: performance, errors, and what a session has used and cost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from django.utils import timezone

from agentplatform.lib.ids import uuid7
from billing.models import Entry, Outcome
from runs.analytics import folding
from runs.models import Relation, RunStep, Status
from tests.factories import (
    AgentFactory,
    RunFactory,
    RunStepFactory,
    SessionFactory,
    ToolCallFactory,
    UsageRecordFactory,
    WorkflowFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace, name="assistant")


@pytest.fixture
def run(workspace, agent, bob):
    """`run(seconds, …)`: a run that has just ended."""

    def make(seconds: float = 2, **fields):
        now = timezone.now()
        started = now - timedelta(seconds=seconds)
        values = {"workspace": workspace, "agent": agent, "user": bob, **fields}
        return RunFactory(created_at=started, started_at=started, finished_at=now, **values)

    return make


@pytest.fixture
def call(workspace):
    """`call(run, seconds, …)`: a model call of the run, in both its entries."""

    def make(run, seconds: float = 1, **fields):
        now = timezone.now()
        common = {
            "workspace": workspace,
            "call_id": uuid7(),
            "run_id": run.pk,
            "agent_id": run.agent_id,
            "user_id": run.user_id,
            "model": fields.pop("model", "gpt-4o-mini"),
        }
        UsageRecordFactory(
            timestamp=now - timedelta(seconds=seconds), entry=Entry.OPENED, status=Outcome.PENDING, **common
        )
        return UsageRecordFactory(timestamp=now, **common, **fields)

    return make


@pytest.fixture
def ask(api, olivia):
    """`ask("performance", …)`: what olivia is answered."""
    return lambda what, caller=olivia, **query: api(caller).get(f"/analytics/{what}", query)


# --- performance ---


@pytest.mark.parametrize("fold", [False, True])
def test_tells_durations_of_each_kind(ask, run, call, fold):
    made = run(seconds=4)
    call(made, seconds=1.5)
    now = timezone.now()
    RunStepFactory(run=made, started_at=now - timedelta(seconds=3), finished_at=now)
    ToolCallFactory(run=made, claimed_at=now - timedelta(seconds=0.5), finished_at=now)
    if fold:
        folding.fold_all()
    found = ask("performance").json()
    medians = [found[kind]["p50"] for kind in ("runs", "steps", "model_calls", "tool_calls")]
    assert medians == pytest.approx([4, 3, 1.5, 0.5], rel=0.01)


def test_breaks_down_by_agent_model_tool_and_type(ask, run, call):
    made = run()
    call(made, model="gpt-5")
    RunStepFactory(run=made, type=RunStep.StepType.TOOL)
    ToolCallFactory(run=made, tool="calculator")
    found = ask("performance").json()
    assert [one["name"] for one in found["runs"]["by_agent"]] == ["assistant"]
    assert [(one["provider"], one["model"]) for one in found["model_calls"]["by_model"]] == [
        ("openai", "gpt-5")
    ]
    assert [one["tool"] for one in found["tool_calls"]["by_tool"]] == ["calculator"]
    assert [one["type"] for one in found["steps"]["by_type"]] == ["tool"]


def test_tells_workflows_from_agents(ask, run, workspace):
    workflow = WorkflowFactory(workspace=workspace, name="report")
    run(
        agent=None,
        agent_name="",
        agent_version=None,
        model=None,
        workflow=workflow,
        workflow_version=workflow.version,
    )
    found = ask("performance").json()["runs"]
    assert [one["name"] for one in found["by_workflow"]] == ["report"]
    assert found["by_agent"] == []


def test_can_be_of_one_agent(ask, run, workspace):
    run()
    run(agent=AgentFactory(workspace=workspace, name="other"))
    assert ask("performance", agent="other").json()["runs"]["count"] == 1


def test_of_an_unknown_agent_is_not_found(ask, agent):
    assert ask("performance", agent="nobody").status_code == 404


def test_compares_two_periods(ask, run):
    run(seconds=4)
    now = timezone.now()
    start = (now - timedelta(hours=1)).isoformat()
    comparison = ask("performance", start_time=start, compare_to="previous").json()["comparison"]
    assert comparison["change"]["runs"]["count"] == {"absolute": 1, "relative": None}
    assert comparison["metrics"]["runs"]["p95"] is None


def test_performance_draws_itself(ask, run):
    run()
    ElementTree.fromstring(ask("performance", format="svg").content)


def test_steps_that_a_fork_has_copied_count_once(ask, run):
    copied = run(attempt=0, status=Status.QUEUED)
    RunStepFactory(run=copied)
    assert ask("performance").json()["steps"]["count"] == 0


def test_a_call_without_an_end_of_its_own_has_no_duration(ask, run, call):
    call(run(), status=Outcome.UNKNOWN)
    found = ask("performance").json()["model_calls"]
    assert (found["count"], found["failed"], found["avg_duration"]) == (1, 1, None)


def test_repricing_makes_no_further_call(ask, run, call):
    record = call(run(), input_tokens=100, output_tokens=0)
    for sign in (-1, 1):
        UsageRecordFactory(
            workspace=record.workspace,
            timestamp=record.timestamp,
            call_id=record.call_id,
            correction_of=record.pk,
            is_reversal=sign < 0,
            revision=2,
            run_id=record.run_id,
            agent_id=record.agent_id,
            input_tokens=sign * 100,
            output_tokens=0,
            requests=sign,
        )
    assert ask("performance").json()["model_calls"]["count"] == 1


def test_performance_needs_few_queries(ask, run, call, django_assert_max_num_queries):
    for _ in range(5):
        call(run())
    with django_assert_max_num_queries(8):
        ask("performance", compare_to="previous")


# --- errors ---


def test_tells_what_has_failed(ask, run, call):
    run()
    failed = run(status=Status.FAILED, error={"class": "timeout", "message": "secret words"})
    call(failed, status=Outcome.FAILED)
    ToolCallFactory(run=failed, tool="search", message={"status": "error", "content": "secret words"})
    ToolCallFactory(run=failed, tool="search", message={"status": "success"})
    folding.fold_all()
    found = ask("errors").json()
    assert (found["total_runs"], found["failed_runs"], found["error_rate"]) == (2, 1, 0.5)
    assert found["by_class"] == [{"class": "timeout", "runs": 1, "share": 1.0}]
    assert found["by_agent"][0]["by_class"] == found["by_class"]
    assert [(one["model"], one["failed"]) for one in found["by_model"]] == [("gpt-4o-mini", 1)]
    assert [(one["tool"], one["calls"], one["failed"]) for one in found["by_tool"]] == [("search", 2, 1)]


def test_errors_tell_no_messages(ask, run, audrey):
    run(status=Status.FAILED, error={"class": "internal", "message": "secret words"})
    assert b"secret" not in ask("errors", audrey).content


def test_errors_are_compared(ask, run):
    run(status=Status.FAILED, error={"class": "timeout", "message": ""})
    start = (timezone.now() - timedelta(hours=1)).isoformat()
    change = ask("errors", start_time=start, compare_to="previous").json()["comparison"]["change"]
    assert change["failed_runs"] == {"absolute": 1, "relative": None}


def test_an_error_of_an_unknown_agent_is_not_found(ask, agent):
    assert ask("errors", agent="nobody").status_code == 404


@pytest.mark.parametrize("what", ["performance", "errors"])
def test_users_see_their_own(ask, run, what, bob, alice):
    run(user=alice)
    found = ask(what, bob).json()
    assert (found["runs"]["count"] if what == "performance" else found["total_runs"]) == 0


@pytest.mark.parametrize("fold", [False, True])
def test_users_are_answered_for_whole_days(ask, run, call, bob, fold):
    call(run())
    if fold:
        folding.fold_all()
    found = ask("performance", bob, start_time=(timezone.now() - timedelta(minutes=20)).isoformat()).json()
    assert {moment[11:] for moment in found["period"].values()} == {"00:00:00Z"}
    assert found["model_calls"]["count"] == 1


@pytest.mark.parametrize("what", ["performance", "errors"])
def test_strangers_see_nothing(ask, run, what, charlie):
    run()
    found = ask(what, charlie).json()
    assert (found["runs"]["count"] if what == "performance" else found["total_runs"]) == 0


@pytest.mark.parametrize("what", ["performance", "errors"])
def test_wrong_input_names_the_field(ask, what):
    response = ask(what, start_time="2026-03-12T00:00:00Z", end_time="2026-03-11T00:00:00Z")
    assert response.status_code == 422
    assert response.json()["error"]["details"][0]["field"] == "start_time"


# --- sessions ---


@pytest.fixture
def session(workspace, agent, bob):
    return SessionFactory(workspace=workspace, agent=agent, user=bob)


def test_counts_a_sessions_tokens_with_those_of_its_runs_children(ask, run, call, session):
    parent = run(session=session)
    call(parent, input_tokens=1000, output_tokens=100)
    child = run(parent=parent, relation=Relation.CHILD)
    call(child, model="gpt-5", input_tokens=10, output_tokens=1)
    call(run(), input_tokens=5)
    found = ask(f"tokens/{session.pk}").json()
    assert (found["total_tokens"], found["input_tokens"], found["requests"]) == (1111, 1010, 2)
    assert [one["model"] for one in found["by_model"]] == ["gpt-4o-mini", "gpt-5"]


def test_sums_up_a_sessions_cost_as_decimals(ask, run, call, session):
    made = run(session=session)
    call(made, cost=Decimal("0.1"))
    call(made, cost=Decimal("0.2"))
    call(made, cost=None)
    found = ask(f"cost/{session.pk}").json()
    assert (found["cost"], found["currency"], found["unpriced_requests"]) == ("0.3", "USD", 1)
    assert found["by_model"][0]["cost"] == "0.3"


def test_the_cost_of_an_empty_session_is_nothing(ask, session):
    assert ask(f"cost/{session.pk}").json()["cost"] == "0"


def test_tells_amounts_of_another_currency_apart(ask, run, call, session):
    call(run(session=session), cost=Decimal("2"), currency="EUR")
    found = ask(f"cost/{session.pk}").json()
    assert (found["cost"], found["other_currencies"]) == (None, [{"currency": "EUR", "cost": "2"}])


@pytest.mark.parametrize("what", ["tokens", "cost"])
def test_ones_own_session_can_be_seen(ask, session, bob, what):
    assert ask(f"{what}/{session.pk}", bob).status_code == 200


@pytest.mark.parametrize(
    ("name", "tokens", "cost"), [("alice", 200, 200), ("audrey", 200, 200), ("vera", 200, 404)]
)
def test_other_peoples_sessions_need_a_permission(ask, session, request, name, tokens, cost):
    caller = request.getfixturevalue(name)
    assert [ask(f"{what}/{session.pk}", caller).status_code for what in ("tokens", "cost")] == [tokens, cost]


@pytest.mark.parametrize("what", ["tokens", "cost"])
def test_another_users_session_does_not_exist(ask, workspace, agent, alice, bob, what):
    of_alice = SessionFactory(workspace=workspace, agent=agent, user=alice)
    assert ask(f"{what}/{of_alice.pk}", bob).status_code == 404


@pytest.mark.parametrize("what", ["tokens", "cost"])
def test_another_workspaces_session_does_not_exist(ask, session, charlie, what):
    assert ask(f"{what}/{session.pk}", charlie).status_code == 404


@pytest.mark.parametrize("what", ["tokens", "cost"])
def test_what_is_no_id_is_not_found(ask, what):
    assert ask(f"{what}/none").status_code == 404
