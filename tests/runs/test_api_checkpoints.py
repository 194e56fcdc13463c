"""GET and POST /runs/{id}/checkpoints, GET /checkpoints/{id} and its comparison with another."""

from __future__ import annotations

import pytest

from agentplatform.lib.ids import uuid7
from runs.models import Checkpoint
from tests.factories import CheckpointFactory, RunFactory, SessionFactory
from tests.runs.states import ANSWER, ASKS, MESSAGES, QUESTION, RESULT, run_with_states, state


@pytest.fixture
def run(alice, agent):
    return run_with_states(alice, agent)


@pytest.fixture
def listed(api, alice, run):
    """`listed(limit=1)`: a page of the run's checkpoints."""
    return lambda **query: api(alice).get(f"/runs/{run.pk}/checkpoints", query).json()


@pytest.fixture
def keep(api, alice, run):
    """`keep(description="…")`: the answer to making a checkpoint."""

    def post(caller=alice, run=run, **body):
        return api(caller).post(f"/runs/{run.pk}/checkpoints", body)

    return post


@pytest.fixture
def shown(api, alice):
    return lambda checkpoint: api(alice).get(f"/checkpoints/{checkpoint.pk}").json()


@pytest.fixture
def compared(api, alice):
    """`compared(one, another)`: the answer to comparing two checkpoints."""

    def get(one, another, caller=alice):
        return api(caller).get(f"/checkpoints/{one.pk}/diff", {"with": str(another.pk)})

    return get


# the list


def test_lists_the_newest_first(listed):
    assert [checkpoint["step_num"] for checkpoint in listed()["checkpoints"]] == [3, 2, 1, 0]


def test_shows_what_each_holds(listed, run):
    last = state(run, 3)

    assert listed(limit=1)["checkpoints"][0] | {"created_at": None} == {
        "id": str(last.pk),
        "step_num": 3,
        "description": "",
        "tags": [],
        "manual": False,
        "created_at": None,
        "message_count": 4,
        "total_tokens": 30,
    }


def test_pages_them(listed, run):
    page = listed(limit=2, offset=1)
    page["checkpoints"] = [checkpoint["step_num"] for checkpoint in page["checkpoints"]]

    assert page == {
        "run_id": str(run.pk),
        "total": 4,
        "limit": 2,
        "offset": 1,
        "has_more": True,
        "checkpoints": [2, 1],
    }


@pytest.mark.parametrize("query", [{"limit": 0}, {"offset": -1}, {"limit": "many"}])
def test_refuses_a_page_that_is_none(api, alice, run, query):
    assert api(alice).get(f"/runs/{run.pk}/checkpoints", query).status_code == 422


@pytest.mark.parametrize("hidden", [{"namespace": "sub"}, {"metadata": {"source": "input"}}])
def test_leaves_out_what_only_langgraph_needs(listed, run, hidden):
    CheckpointFactory(run=run, **hidden)

    assert listed()["total"] == 4


def test_leaves_out_those_of_other_runs_of_the_session(api, alice, agent):
    session = SessionFactory(workspace=agent.workspace, user=alice, agent=agent)
    run_with_states(alice, agent, session=session)
    second = run_with_states(alice, agent, session=session)

    assert api(alice).get(f"/runs/{second.pk}/checkpoints").json()["total"] == 4


# making one


def test_makes_a_checkpoint_of_where_the_run_stands(keep):
    answer = keep(description="Before the refund", tags=["refund", "refund"])
    made = answer.json()

    assert answer.status_code == 201
    assert (made["step_num"], made["description"], made["tags"], made["manual"]) == (
        3,
        "Before the refund",
        ["refund"],
        True,
    )


def test_lists_it_first(keep, listed):
    made = keep().json()

    assert listed(limit=1)["checkpoints"] == [made]


def test_keeps_the_whole_state(keep, run, shown):
    made = Checkpoint.objects.get(pk=keep().json()["id"])

    assert shown(made)["messages"] == MESSAGES


def test_says_what_it_is_a_copy_of(keep, run, shown):
    made = Checkpoint.objects.get(pk=keep().json()["id"])

    assert shown(made)["parent_id"] == str(state(run, 3).pk)


def test_leaves_the_head_of_the_session_where_it_was(api, alice, agent, keep):
    session = SessionFactory(workspace=agent.workspace, user=alice, agent=agent)
    run = run_with_states(alice, agent, session=session)
    keep(run=run)

    kept = api(alice).get(f"/sessions/{session.pk}").json()["agent_state"]
    assert kept["checkpoint_id"] == str(state(run, 3).pk)


def test_has_nothing_to_keep_before_the_run_has_begun(keep, alice, agent):
    made = RunFactory(workspace=agent.workspace, user=alice, agent=agent, status="created")
    refused = keep(run=made)

    assert (refused.status_code, refused.json()["error"]["details"]) == (409, {"status": "created"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"description": "x" * 2001}, "description"),
        ({"tags": ["x" * 51]}, "tags.0"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"why": "x"}, "why"),
    ],
)
def test_refuses_what_it_cannot_keep(keep, body, field):
    refused = keep(**body)

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, field)


def test_keeps_nothing_for_those_who_only_read(keep, vera):
    assert keep(caller=vera).status_code == 403


# one


def test_shows_the_messages_as_they_were_said(shown, run):
    assert shown(state(run, 3))["messages"] == [QUESTION, ASKS, RESULT, ANSWER]


def test_shows_everything_that_belongs_to_the_state(shown, run):
    assert shown(state(run, 2)).keys() == {
        *("id", "run_id", "parent_id", "step_num", "status", "messages", "metrics", "agent_config"),
        *("state", "output"),
        *("description", "tags", "manual", "created_at", "message_count", "total_tokens"),
    }


@pytest.mark.parametrize(
    ("step", "status"), [(0, "running"), (1, "running"), (2, "running"), (3, "completed")]
)
def test_says_whether_something_was_left_to_do(shown, run, step, status):
    assert shown(state(run, step))["status"] == status


def test_tells_what_the_run_had_used(shown, run):
    assert shown(state(run, 2))["metrics"] == {"total_tokens": 20, "total_steps": 2}


def test_names_the_one_before(shown, run):
    assert [shown(state(run, step))["parent_id"] for step in (0, 2)] == [None, str(state(run, 1).pk)]


def test_shows_the_agent_as_the_run_used_it(shown, alice, agent):
    run = run_with_states(
        alice, agent, config={"temperature": 0.5}, overrides={"system_prompt": "Be brief.", "model": "fast"}
    )
    config = shown(state(run, 3))["agent_config"]

    assert (config["name"], config["config"], config["system_prompt"], config["model"]) == (
        "assistant",
        {"temperature": 0.5},
        "Be brief.",
        "fast",
    )


def test_finds_none_that_there_is_not(api, alice):
    answer = api(alice).get(f"/checkpoints/{uuid7()}")

    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "CheckpointNotFound")


# two


def test_compares_messages_by_their_place(compared, run, alice, agent):
    other = run_with_states(alice, agent)
    changed = [QUESTION, {"role": "assistant", "content": "It is 391."}]
    last = CheckpointFactory(run=other, step_num=4, messages=changed)

    assert compared(state(run, 2), last).json()["messages"] == {
        "common": 1,
        "removed": [ASKS, RESULT],
        "added": [changed[1]],
    }


def test_compares_what_was_used(compared, run):
    answer = compared(state(run, 1), state(run, 3)).json()

    assert answer["metrics"] == {
        "total_tokens": {"old": 10, "new": 30},
        "total_steps": {"old": 1, "new": 3},
    }


def test_compares_the_agents(compared, run, alice, agent):
    other = run_with_states(alice, agent, config={"max_steps": 3}, overrides={"system_prompt": "Be brief."})

    assert compared(state(run, 3), state(other, 3)).json()["agent_config"] == {
        "config": {"old": {}, "new": None},
        "config.max_steps": {"old": None, "new": 3},
        "system_prompt": {"old": "", "new": "Be brief."},
    }


def test_finds_no_difference_to_itself(compared, run):
    same = state(run, 3)

    assert compared(same, same).json() == {
        "checkpoint_id": str(same.pk),
        "with": str(same.pk),
        "messages": {"common": 4, "removed": [], "added": []},
        "state": {},
        "metrics": {},
        "agent_config": {},
    }


@pytest.mark.parametrize("query", [{}, {"with": ""}, {"with": "the-last"}])
def test_asks_what_to_compare_with(api, alice, run, query):
    refused = api(alice).get(f"/checkpoints/{state(run, 1).pk}/diff", query)

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, "with")


def test_compares_nothing_with_what_is_not_visible(compared, run, bob, agent):
    other = run_with_states(bob, agent)

    assert compared(state(other, 1), state(run, 1), caller=bob).status_code == 404


# who


@pytest.mark.parametrize(("name", "status"), [("vera", 200), ("bob", 404), ("audrey", 403), ("charlie", 404)])
def test_shows_them_to_those_who_may_read_the_run(api, run, name, status, request):
    caller = api(request.getfixturevalue(name))
    answers = [
        caller.get(f"/runs/{run.pk}/checkpoints"),
        caller.get(f"/checkpoints/{state(run, 1).pk}"),
        caller.get(f"/checkpoints/{state(run, 1).pk}/diff", {"with": str(state(run, 2).pk)}),
    ]

    assert {answer.status_code for answer in answers} == {status}
