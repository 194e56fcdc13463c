"""Checkpoints of workflow runs: read, compared, forked and restored. How forks run: test_workflow_branches.py."""

from __future__ import annotations

import pytest

from agents.models import ChatModel
from runs.models import Run
from tests.engine.workflows import publish_now
from tests.factories import ChatModelFactory
from tests.runs.states import run_with_states, state

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = """
name: count
input: {properties: {n: {type: integer}}, required: [n]}
state:
  sum: {type: integer, reducer: add}
  output: {type: string}
nodes:
  - {id: start, kind: start}
  - {id: add, kind: transform, set: {sum: input.n, output: "'so far'"}}
  - {id: end, kind: end, output: {sum: "{{ state.sum }}"}}
edges: [{from: start, to: add}, {from: add, to: end}]
"""


@pytest.fixture
def ended(http, alice, workspace) -> Run:
    """A run that has counted to 7. One of its fields is called `output`."""
    publish_now(workspace, COUNT)
    answer = http(alice).post("/workflows/count/run", json={"input": {"n": 7}})
    assert answer.status_code == 202, answer.text
    http(alice).get(f"/runs/{answer.json()['id']}/wait", params={"timeout": 20})
    return Run.objects.get(pk=answer.json()["id"])


@pytest.fixture
def fork(http, alice, ended):
    """`fork(1, state={"sum": 3})`: the answer to a fork after that step."""

    def post(step=1, **modifications):
        body = {"modifications": modifications}
        return http(alice).post(f"/checkpoints/{state(ended, step).pk}/fork", json=body)

    return post


def read(http, alice, run, step):
    return http(alice).get(f"/checkpoints/{state(run, step).pk}").json()


def fields(answer) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [entry["field"] for entry in answer.json()["error"]["details"]]


def test_shows_the_fields_of_the_state(http, alice, ended):
    assert read(http, alice, ended, 1)["state"] == {"sum": 7, "output": "so far"}


def test_is_not_final_before_the_end_whatever_a_field_is_called(http, alice, ended):
    shown = read(http, alice, ended, 1)
    assert (shown["status"], shown["output"]) == ("running", None)


def test_shows_what_the_workflow_has_come_to(http, alice, ended):
    shown = read(http, alice, ended, 2)
    assert (shown["status"], shown["output"]) == ("completed", {"sum": 7})


def test_shows_the_workflow_as_the_run_has_used_it(http, alice, ended):
    assert read(http, alice, ended, 1)["agent_config"]["name"] == "count"


def test_compares_the_fields_of_two_states(http, alice, ended):
    first, second = ended.checkpoints.of_people().get(step_num=0).pk, state(ended, 1).pk
    compared = http(alice).get(f"/checkpoints/{first}/diff", params={"with": str(second)}).json()
    assert compared["state"]["sum"] == {"old": 0, "new": 7}


def test_forks_with_another_state(http, alice, fork):
    new = fork(state={"sum": 100}).json()["new_run_id"]
    assert http(alice).get(f"/runs/{new}/wait", params={"timeout": 20}).json()["output"] == {"sum": 100}


def test_restores_as_a_run_of_its_own(http, alice, ended):
    restored = http(alice).post(f"/checkpoints/{state(ended, 1).pk}/restore", json={}).json()["new_run_id"]
    assert http(alice).get(f"/runs/{restored}/wait", params={"timeout": 20}).json()["output"] == {"sum": 7}


def test_refuses_to_fork_at_the_end(fork):
    assert fields(fork(2)) == ["modifications"]


@pytest.mark.parametrize("changes", [{"sum": "many"}, {"nothing": 1}])
def test_names_the_field_that_does_not_fit(fork, changes):
    assert fields(fork(state=changes)) == [f"modifications.state.{next(iter(changes))}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"modified_query": "Hello"},
        {"messages": [{"role": "user", "content": "Hello"}]},
        {"system_prompt": "Be brief."},
    ],
)
def test_refuses_what_only_agents_have(fork, changes):
    assert fields(fork(**changes)) == ["modifications"]


def test_refuses_another_model(fork, workspace):
    other: ChatModel = ChatModelFactory(workspace=workspace)
    assert fields(fork(model=other.name)) == ["modifications"]


def test_refuses_the_state_of_an_agent(http, alice, agent):
    source = run_with_states(alice, agent)
    body = {"modifications": {"state": {"sum": 1}}}
    assert fields(http(alice).post(f"/checkpoints/{state(source, 2).pk}/fork", json=body)) == [
        "modifications.state"
    ]


def test_refuses_to_go_on_with_a_workflow_that_is_disabled(http, alice, fork):
    http(alice).patch("/workflows/count", json={"enabled": False})
    assert fields(fork()) == ["workflow"]
