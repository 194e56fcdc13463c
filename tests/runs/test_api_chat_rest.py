"""POST /chat that is not streamed, where the run comes to rest before it has an answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from runs.models import Approval, Run
from tests.factories import AgentFactory, AgentToolFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALL = 'call calculator {"expression": "6 * 7"}'


@pytest.fixture
def careful(workspace):
    """An agent whose calculator requires an approval."""
    calculator = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    return AgentFactory(workspace=workspace, name="careful", tools=[calculator])


@pytest.fixture
def chat(http, alice):
    def post(agent, message):
        return http(alice).post("/chat", json={"agent_id": agent.name, "message": message, "stream": False})

    return post


def test_says_what_a_person_has_to_decide(chat, careful):
    answer = chat(careful, CALL)
    approval = Approval.objects.get()

    assert (answer.status_code, answer.json()) == (
        202,
        {"run_id": str(approval.run_id), "status": "waiting", "approval_ids": [str(approval.pk)]},
    )


def test_says_what_has_to_be_decided_for_a_run_below_it(chat, careful, workspace):
    tool = AgentToolFactory(workspace=workspace, name="ask_careful", agent=careful)
    asking = AgentFactory(workspace=workspace, tools=[tool])
    answer = chat(asking, 'call ask_careful {"message": "What is 6 * 7?"}').json()

    assert (answer["status"], answer["approval_ids"]) == ("waiting", [str(Approval.objects.get().pk)])


@pytest.fixture
def meanwhile(chat, agent_on, workspace, http, alice):
    """`meanwhile("pause")`: the answer to a chat whose run is given a verb while its model speaks; and the run's id."""
    agent = agent_on("slow-10-150", tools=[ToolFactory(workspace=workspace, name="calculator")])

    def chatted(verb, body=None):
        with ThreadPoolExecutor(1) as pool:
            answered = pool.submit(chat, agent, CALL)
            while (run := Run.objects.filter(status="running").first()) is None:
                time.sleep(0.01)
            http(alice).post(f"/runs/{run.pk}/{verb}", json=body)
            return answered.result(), str(run.pk)

    return chatted


def test_says_that_the_run_was_paused(meanwhile):
    answer, run_id = meanwhile("pause")

    assert (answer.status_code, answer.json()) == (202, {"run_id": run_id, "status": "paused"})


def test_says_that_the_run_has_used_up_its_budget(meanwhile):
    answer, run_id = meanwhile("resume", {"limits": {"max_tokens": 1}})

    assert answer.json() == {"run_id": run_id, "status": "paused", "reason": "budget_exceeded"}
