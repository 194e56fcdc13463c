"""What clients are told where a budget that blocks is spent, in each protocol."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import openai
import pytest
from django.utils import timezone

from billing.budgets.counters import present_start
from billing.models import BudgetPeriod
from runs.models import Run, Schedule, Status
from runs.schedules import due
from tests.factories import AgentFactory, BudgetFactory, RunFactory, ScheduleFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def spent(workspace):
    budget = BudgetFactory(workspace=workspace, name="daily")
    start = present_start(budget, timezone.now())
    BudgetPeriod.objects.create(budget=budget, period_start=start, spent_amount=Decimal("1.25"))
    return budget


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace, name="assistant")


def test_answers_402_with_the_budget_and_when_it_begins_anew(api, alice, agent, spent):
    answer = api(alice).post("/runs", {"agent_id": "assistant", "message": "hello"})

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (402, "BudgetExceeded")
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    told = {
        name: error["details"][name] for name in ("budget", "period", "limit", "value", "used", "currency")
    }
    assert told == {
        "budget": "daily",
        "period": "day",
        "limit": "amount",
        "value": "1",
        "used": "1.25",
        "currency": "USD",
    }
    assert not Run.objects.exists()


def test_is_refused_in_another_workspace_for_nothing(api, charlie, other_workspace, spent):
    AgentFactory(workspace=other_workspace, name="assistant")

    assert api(charlie).post("/runs", {"agent_id": "assistant", "message": "hello"}).status_code == 202


def test_describes_402_for_all_that_begins_a_run(api, alice, workspace, agent, spent):
    run = RunFactory(workspace=workspace, user=alice, agent=agent, status=Status.FAILED)
    schedule = ScheduleFactory(workspace=workspace, user=alice, agent=agent)
    asked = {
        "/runs": ("", {"agent_id": "assistant", "message": "hello"}),
        "/runs/{id}/retry": (run.pk, None),
        "/schedules/{id}/trigger": (schedule.pk, None),
    }
    paths = api().get("/openapi.json").json()["paths"]
    for path, (key, body) in asked.items():
        assert api(alice).post(path.replace("{id}", str(key)), body).status_code == 402, path
        assert "402" in paths[f"/api/v1{path}"]["post"]["responses"], path


def test_answers_chats_with_402(http, alice, agent, spent):
    answer = http(alice).post("/chat", json={"agent_id": str(agent.pk), "message": "hello"})

    assert answer.status_code == 402


def test_answers_openais_clients_as_openai_does(openai_client, agent, spent):
    with pytest.raises(openai.RateLimitError) as refused:
        openai_client().chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "hello"}]
        )

    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert refused.value.response.headers["X-Should-Retry"] == "false"


def test_leaves_a_schedule_for_its_next_moment(workspace, alice, agent, spent):
    schedule = ScheduleFactory(
        workspace=workspace, user=alice, agent=agent, next_run_at=timezone.now() - timedelta(seconds=1)
    )
    due._start_one(schedule.pk, timezone.now())

    schedule = Schedule.objects.get(pk=schedule.pk)
    assert schedule.enabled
    assert schedule.next_run_at > timezone.now()
    assert not Run.objects.exists()
