"""What an agent keeps in mind: written over the API and in the admin, versioned and pinned."""

from __future__ import annotations

import pytest

from agentplatform.lib.errors import InvalidConfig
from agents import versions
from agents.launch import pins_on_model, prepare, require_usable
from agents.models import Agent, Version
from agents.pinned import load
from tests.agents.test_admin import add, agent_data, change, errors_of
from tests.factories import AgentFactory, ChatModelFactory, ToolFactory
from tests.runs.admin_support import signed_in

pytestmark = pytest.mark.django_db

SUMMARIZE = {"trigger_tokens": 8000, "trigger_messages": 60, "keep_messages": 10, "model": "writer"}


@pytest.fixture
def model(workspace):
    return ChatModelFactory(workspace=workspace, name="fast")


@pytest.fixture
def writer(workspace):
    return ChatModelFactory(workspace=workspace, name="writer")


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture
def agent(client, model, writer) -> Agent:
    """Summarizes by the model `writer`."""
    client.post("/agents", {"name": "helper", "model": "fast", "memory": {"summarize": SUMMARIZE}})
    return Agent.objects.get()


@pytest.fixture
def agent_with_tool(workspace, model):
    tool = ToolFactory(workspace=workspace, name="save_memory")
    return AgentFactory(workspace=workspace, model=model, name="saver", tools=[tool])


def faults(response) -> dict[str, str]:
    return {entry["field"]: entry["message"] for entry in response.json()["error"]["details"]}


# over the API


def test_answers_what_was_written(client, agent):
    assert client.get("/agents/helper").json()["memory"] == {"summarize": SUMMARIZE}


def test_answers_it_in_the_list(client, agent):
    assert client.get("/agents").json()["items"][0]["memory"]["summarize"]["model"] == "writer"


def test_takes_back_what_it_has_answered(client, agent):
    sent = client.get("/agents/helper").json()

    assert client.put("/agents/helper", sent).json()["version"] == 1


def test_keeps_twenty_messages_unless_said_otherwise(client, model):
    body = {"name": "helper", "model": "fast", "memory": {"summarize": {"trigger_messages": 50}}}

    answer = client.post("/agents", body).json()

    assert answer["memory"]["summarize"] == {"trigger_messages": 50, "keep_messages": 20, "model": None}


def test_leaves_out_what_is_null(client, model):
    nothing = {"window": None, "summarize": None, "long_term": None}

    assert (
        client.post("/agents", {"name": "helper", "model": "fast", "memory": nothing}).json()["memory"] == {}
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (True, {"long_term": {"scope": "user"}}),
        ({}, {"long_term": {"scope": "user"}}),
        ({"scope": "agent"}, {"long_term": {"scope": "agent"}}),
        (False, {}),
    ],
)
def test_knows_two_scopes_of_long_term_memory(client, model, sent, kept):
    body = {"name": "helper", "model": "fast", "memory": {"long_term": sent}}

    assert client.post("/agents", body).json()["memory"] == kept


def test_keeps_the_writer_where_only_something_else_changes(client, agent):
    client.patch("/agents/helper", {"description": "Helps."})

    assert client.get("/agents/helper").json()["memory"] == {"summarize": SUMMARIZE}


def test_lets_the_writer_go_with_the_policy(client, agent, writer):
    client.patch("/agents/helper", {"memory": {"window": 5}})

    assert client.delete("/models/writer").status_code == 204


def test_says_who_needs_a_model_that_writes(client, agent):
    response = client.delete("/models/writer")

    assert (response.status_code, response.json()["error"]["details"]) == (409, {"used_by": ["agent helper"]})


# names of the tools that it brings along


def test_refuses_a_tool_of_the_same_name(client, model, workspace):
    ToolFactory(workspace=workspace, name="search_memory")
    body = {"name": "helper", "model": "fast", "tools": ["search_memory"], "memory": {"long_term": True}}

    assert faults(client.post("/agents", body)) == {
        "tools": "With memory.long_term the agent has search_memory of its own. "
        "Rename the tool, take it off, or set memory.long_term to false."
    }


def test_refuses_memory_beside_a_tool_of_the_same_name(client, agent_with_tool):
    assert faults(client.patch("/agents/saver", {"memory": {"long_term": True}})).keys() == {"tools"}


def test_takes_such_a_tool_without_memory(client, agent_with_tool):
    assert client.patch("/agents/saver", {"description": "Saves."}).status_code == 200


def test_refuses_to_rename_a_tool_to_such_a_name(client, model, workspace):
    tool = ToolFactory(workspace=workspace, name="keep")
    AgentFactory(
        workspace=workspace, model=model, name="saver", tools=[tool], memory={"long_term": {"scope": "user"}}
    )

    response = client.patch("/tools/keep", {"name": "save_memory"})

    assert faults(response) == {"name": "The agent 'saver' has save_memory of its own (memory.long_term)."}


# versions and pins


def test_restores_the_writer_with_the_version(client, agent, writer):
    client.patch("/agents/helper", {"memory": {}})

    versions.restore(Version.objects.get(object_id=agent.pk, number=1), None)

    assert client.get("/agents/helper").json()["memory"] == {"summarize": SUMMARIZE}


def test_records_no_new_version_of_agents_that_have_no_writer(workspace, model):
    agent = AgentFactory(workspace=workspace, model=model)

    assert not {"summary_model", "summary_model_id"} & agent.version.data.keys()


def test_pins_the_writer(workspace, agent, client):
    launch = prepare(workspace.pk, "helper")
    client.patch("/models/writer", {"model": "another"})

    specification = load(launch.version_id, launch.pins)

    assert (specification.summarize.model.name, specification.summarize.model.model) == ("writer", "scripted")
    assert (specification.summarize.trigger_tokens, specification.summarize.keep_messages) == (8000, 10)


def test_pins_a_writer_once_that_is_a_fallback_too(workspace, client, agent):
    client.patch("/models/fast", {"fallbacks": ["writer"]})

    launch = prepare(workspace.pk, "helper")

    assert len(launch.pins) == len(set(launch.pins)) == 2


def test_keeps_the_writer_on_another_model(workspace, agent):
    launch = prepare(workspace.pk, "helper")
    other = ChatModelFactory(workspace=workspace, name="other")

    pins = pins_on_model(launch.pins, other, agent.version)

    overrides = {"model": "other", "model_id": str(other.pk)}
    assert load(launch.version_id, pins, {}, overrides).summarize.model.name == "writer"


def test_takes_the_writer_as_it_is_now_where_it_is_the_other_model(workspace, client, agent, writer):
    launch = prepare(workspace.pk, "helper")
    client.patch("/models/writer", {"model": "another"})
    writer.refresh_from_db()

    pins = pins_on_model(launch.pins, writer, agent.version)

    overrides = {"model": "writer", "model_id": str(writer.pk)}
    specification = load(launch.version_id, pins, {}, overrides)
    assert (specification.model.model, specification.summarize.model.model) == ("another", "another")


def test_starts_nothing_whose_writer_is_disabled(workspace, client, agent, model):
    client.patch("/models/writer", {"enabled": False})
    agent.refresh_from_db()

    with pytest.raises(InvalidConfig, match=r"memory\.summarize\.model: 'writer' is disabled"):
        prepare(workspace.pk, "helper")
    with pytest.raises(InvalidConfig, match=r"memory\.summarize\.model"):
        require_usable(agent, model, [])


# in the admin


@pytest.fixture
def admin(olivia):
    return signed_in(olivia)


def test_writes_it_in_the_admin(admin, workspace, model, writer):
    data = agent_data(
        model, trigger_messages=60, keep_messages=10, summary_model=str(writer.pk), long_term="agent"
    )
    add(admin, "agent", {**data, "workspace": workspace.pk})

    agent = Agent.objects.get()
    assert agent.memory == {
        "summarize": {"trigger_messages": 60, "keep_messages": 10},
        "long_term": {"scope": "agent"},
    }
    assert agent.version.data["summary_model"] == "writer"


def test_shows_it_in_the_admin(admin, agent):
    page = admin.get(f"/admin/agents/agent/{agent.pk}/change/").context["adminform"].form

    assert (page["trigger_tokens"].value(), page["keep_messages"].value(), page["long_term"].value()) == (
        8000,
        10,
        "",
    )


def test_takes_the_writer_off_with_the_policy_in_the_admin(admin, agent, model, writer):
    change(admin, agent, agent_data(model, memory_window=5))

    agent.refresh_from_db()
    assert (agent.memory, agent.summary_model) == ({"window": 5}, None)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"keep_messages": 5}, "trigger_tokens"),
        ({"trigger_messages": 5, "keep_messages": 5}, "keep_messages"),
        ({"trigger_messages": 50, "memory_window": 5}, "memory_window"),
        ({"trigger_tokens": 1}, "trigger_tokens"),
        ({"long_term": "everybody"}, "long_term"),
    ],
)
def test_says_in_the_admin_which_field_is_wrong(admin, workspace, model, values, field):
    data = agent_data(model, **values)

    assert errors_of(add(admin, "agent", {**data, "workspace": workspace.pk})) == {field}
