"""POST /runs."""

from __future__ import annotations

import pytest

from agents.models import Agent
from runs.models import Run
from tests.factories import AgentFactory, ChatModelFactory, SessionFactory

QUESTION = "What is 17 * 23?"


@pytest.fixture
def start(api, alice, agent):
    """`start(input="…")`: what the API answers to alice's run of the default agent."""

    def post(caller=alice, headers=None, **body):
        return api(caller).post("/runs", {"input": QUESTION} | body, headers=headers or {})

    return post


def test_answers_at_once(start):
    assert start().status_code == 202


def test_queues_the_run(start):
    assert start().json()["status"] == "queued"


def test_answers_the_run_in_the_shape_of_its_detail(start, api, alice):
    made = start().json()

    assert made == api(alice).get(f"/runs/{made['id']}").json()


def test_makes_the_first_event(start, api, alice):
    run = start().json()["id"]

    assert [event["type"] for event in api(alice).get(f"/runs/{run}/events").json()["events"]] == [
        "run_queued"
    ]


def test_leaves_a_run_created_that_shall_not_start(start):
    assert start(start=False).json()["status"] == "created"


def test_takes_the_default_agent_where_none_is_named(start):
    assert start().json()["agent"] == "assistant"


@pytest.mark.parametrize("field", ["pk", "name"])
def test_takes_an_agent_by(start, workspace, field):
    other = AgentFactory(workspace=workspace, name="other")

    assert start(agent_id=str(getattr(other, field))).json()["agent_id"] == str(other.pk)


def test_pins_the_agents_version(start):
    assert start().json()["agent_version"] == 1


def test_takes_a_message_in_the_place_of_an_input(start):
    answer = start(input=None, message="Hello")

    assert answer.status_code == 422, "null is not the same as nothing"


def test_takes_a_message(api, alice, agent):
    assert api(alice).post("/runs", {"message": "Hello"}).json()["input_query"] == "Hello"


def test_takes_a_conversation(start):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "How are you?"},
    ]

    assert start(input={"messages": messages}).json()["input"] == {"messages": messages}


def test_shows_the_last_message_as_the_query(start):
    messages = [{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}]

    assert start(input={"messages": messages}).json()["input_query"] == "Two"


def test_keeps_the_white_space_of_a_message(start):
    assert start(input="  def f():\n\tpass\n").json()["input_query"] == "  def f():\n\tpass\n"


def test_keeps_what_the_client_says_of_the_run(start):
    said = {
        "user_id": "customer-81",
        "config": {"temperature": 0.1, "max_steps": 3},
        "metadata": {"order": 1204, "nested": {"list": [1, None]}},
        "tags": ["checkout", "eu"],
        "priority": 5,
        "limits": {"timeout": 2.5, "max_steps": 2},
    }
    made = start(**said).json()

    assert {name: made[name] for name in said} == said


def test_records_the_caller_apart_from_the_end_user(start):
    made = start(user_id="customer-81").json()

    assert (made["user_id"], made["started_by"]) == ("customer-81", "alice")


def test_counts_a_repeated_tag_once(start):
    assert start(tags=["eu", "eu"]).json()["tags"] == ["eu"]


def test_goes_on_with_a_session(start, workspace, alice):
    session = SessionFactory(workspace=workspace, user=alice)

    assert start(session_id=str(session.pk)).json()["session_id"] == str(session.pk)


def test_takes_the_sessions_agent(start, workspace, alice):
    session = SessionFactory(workspace=workspace, user=alice)

    assert start(session_id=str(session.pk)).json()["agent"] == session.agent.name


def test_takes_a_message_of_a_million_characters(start):
    assert start(input="x" * 1_000_000).status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"agentid": "x"}, "agentid"),
        ({"workflow_id": "w", "agent_id": "a"}, "workflow_id"),
        ({"message": "both"}, "input"),
        ({"input": ""}, "input"),
        ({"input": " \n"}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input.messages"),
        ({"input": {"messages": []}}, "input.messages"),
        ({"input": {"messages": [{"role": "tool", "content": "x"}]}}, "input.messages.0.role"),
        ({"input": {"messages": [{"role": "user"}]}}, "input.messages.0.content"),
        ({"input": {"messages": [{"role": "user", "content": ["x"]}]}}, "input.messages.0.content"),
        ({"input": {"messages": [{"role": "user", "content": "x", "name": "y"}]}}, "input.messages.0.name"),
        ({"input": {"messages": [{"role": "assistant", "content": "x"}]}}, "input.messages"),
        ({"input": "x" * 1_000_001}, "input"),
        ({"session_id": "none"}, "session_id"),
        ({"user_id": "x" * 201}, "user_id"),
        ({"config": {"colour": "red"}}, "config.colour"),
        ({"config": {"temperature": 3}}, "config.temperature"),
        ({"config": {"max_steps": 0}}, "config.max_steps"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"large": "x" * 70_000}}, "metadata"),
        ({"tags": "eu"}, "tags"),
        ({"tags": ["x" * 51]}, "tags.0"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"priority": 101}, "priority"),
        ({"limits": {"timeout": 0}}, "limits.timeout"),
        ({"limits": {"steps": 1}}, "limits.steps"),
        ({"start": "perhaps"}, "start"),
    ],
)
def test_names_the_field_that_is_wrong(start, body, field):
    answer = start(**body)

    assert (answer.status_code, [entry["field"] for entry in answer.json()["error"]["details"]]) == (
        422,
        [field],
    )


def test_asks_for_an_input(api, alice, agent):
    assert api(alice).post("/runs", {}).status_code == 422


def test_refuses_a_body_that_is_no_object(api, alice, agent):
    assert api(alice).post("/runs", [1, 2]).status_code == 422


def test_refuses_malformed_json(api, alice, agent):
    answer = api(alice).generic("POST", "/runs", '{"input": ', content_type="application/json")

    assert answer.status_code == 400


def test_refuses_ten_megabytes(start):
    assert start(input="x" * 10_000_000).status_code == 413


def test_says_that_an_agent_does_not_exist(start):
    assert start(agent_id="nobody").json()["error"]["type"] == "AgentNotFound"


def test_says_that_a_session_does_not_exist(start, other_workspace):
    answer = start(session_id=str(SessionFactory(workspace=other_workspace).pk))

    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "SessionNotFound")


def test_hides_the_agents_of_other_workspaces(start, other_workspace):
    assert start(agent_id=str(AgentFactory(workspace=other_workspace).pk)).status_code == 404


def test_refuses_a_disabled_agent(start, workspace):
    AgentFactory(workspace=workspace, name="resting", enabled=False)

    assert start(agent_id="resting").json()["error"]["type"] == "InvalidConfig"


def test_refuses_an_agent_whose_model_is_disabled(start, workspace):
    model = ChatModelFactory(workspace=workspace, enabled=False)
    AgentFactory(workspace=workspace, name="mute", model=model)

    assert start(agent_id="mute").status_code == 422


def test_asks_for_an_agent_where_there_is_no_default(start, agent):
    Agent.objects.update(is_default=False)

    assert start().json()["error"]["type"] == "AgentNotFound"


def test_refuses_a_viewer(start, vera):
    assert start(vera).status_code == 403


def test_refuses_whoever_is_not_signed_in(start):
    assert start(None).status_code == 401


def test_leaves_nothing_behind_where_it_refuses(start):
    start(agent_id="nobody")

    assert not Run.objects.exists()
