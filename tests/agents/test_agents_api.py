"""/agents: create, read, change, delete, list."""

from __future__ import annotations

import pytest

from agents.models import Agent, Version
from tests.factories import AgentFactory, ChatModelFactory, ToolFactory


@pytest.fixture
def model(workspace):
    return ChatModelFactory(workspace=workspace, name="fast")


@pytest.fixture
def tool(workspace):
    return ToolFactory(workspace=workspace, name="calculator")


@pytest.fixture
def agent(workspace, model):
    return AgentFactory(workspace=workspace, model=model, name="helper", config={"max_steps": 5})


@pytest.fixture
def client(api, olivia):
    return api(olivia)


def fields_of(response):
    return {entry["field"] for entry in response.json()["error"]["details"]}


def test_creates_an_agent_with_the_contracts_fields(client, model, tool):
    body = {
        "name": "shop-assistant",
        "description": "Helps.",
        "model": "fast",
        "tools": ["calculator"],
        "memory": {"window": 20},
        "knowledge": [],
        "system_prompt": "You help.",
        "config": {"max_steps": 5, "temperature": 0.5},
        "tags": ["shop"],
    }
    response = client.post("/agents", body)
    assert response.status_code == 201
    assert {name: response.json()[name] for name in body} == body


def test_needs_no_more_than_a_name_and_a_model(client, model):
    created = client.post("/agents", {"name": "helper", "model": "fast"}).json()
    assert (created["tools"], created["memory"], created["config"], created["tags"]) == ([], {}, {}, [])


def test_answers_all_fields_of_an_agent(client, agent):
    assert client.get("/agents/helper").json().keys() == {
        "id", "name", "description", "model", "tools", "memory", "knowledge", "system_prompt", "config",
        "tags", "enabled", "is_default", "version", "created_at", "updated_at",
    }  # fmt: skip


def test_takes_ids_in_the_place_of_names(client, model, tool):
    created = client.post(
        "/agents", {"name": "helper", "model": str(model.pk), "tools": [str(tool.pk)]}
    ).json()
    assert (created["model"], created["tools"]) == ("fast", ["calculator"])


@pytest.mark.parametrize("by", ["name", "pk"])
def test_finds_an_agent_by_id_or_name(client, agent, by):
    assert client.get(f"/agents/{getattr(agent, by)}").json()["id"] == str(agent.pk)


def test_changes_what_is_sent_and_nothing_else(client, agent):
    changed = client.patch("/agents/helper", {"description": "new"}).json()
    assert (changed["description"], changed["config"]) == ("new", {"max_steps": 5})


def test_replaces_the_whole_agent(client, agent):
    replaced = client.put("/agents/helper", {"name": "helper", "model": "fast"}).json()
    assert replaced["config"] == {}


def test_takes_back_what_it_answered(client, agent):
    assert client.put("/agents/helper", client.get("/agents/helper").json()).status_code == 200


def test_takes_null_for_an_empty_memory(client, model):
    assert client.post("/agents", {"name": "helper", "model": "fast", "memory": None}).json()["memory"] == {}


def test_deletes_an_agent(client, agent):
    assert client.delete("/agents/helper").status_code == 204
    assert client.get("/agents/helper").json()["error"]["type"] == "AgentNotFound"


def test_keeps_the_versions_of_a_deleted_agent(client, agent):
    client.delete("/agents/helper")
    assert [version.change for version in Version.objects.filter(object_id=agent.pk)] == [
        "deleted",
        "created",
    ]


def test_refuses_a_name_that_is_taken(client, agent):
    response = client.post("/agents", {"name": "helper", "model": "fast"})
    assert (response.status_code, "helper" in response.json()["error"]["message"]) == (409, True)


def test_refuses_to_take_another_agents_name(client, workspace, agent, model):
    AgentFactory(workspace=workspace, model=model, name="other")
    assert client.patch("/agents/other", {"name": "helper"}).status_code == 409


def test_lets_two_workspaces_use_one_name(api, charlie, other_workspace, agent):
    ChatModelFactory(workspace=other_workspace, name="fast")
    assert api(charlie).post("/agents", {"name": "helper", "model": "fast"}).status_code == 201


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "no spaces"}, "name"),
        ({"name": "0193-4d6e7a1c7c529d5e2f8a1b3c4d60"}, "name"),
        ({"name": "01934d6e7a1c7c529d5e2f8a1b3c4d60"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"model": "nobody"}, "model"),
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"tools": ["nothing"]}, "tools"),
        ({"tools": "calculator"}, "tools"),
        ({"knowledge": ["wiki"]}, "knowledge"),
        ({"memory": {"window": 0}}, "memory.window"),
        ({"memory": {"kind": "buffer"}}, "memory.kind"),
        ({"memory": {"summarize": {}}}, "memory.summarize"),
        ({"memory": {"summarize": {"trigger_tokens": 99}}}, "memory.summarize.trigger_tokens"),
        ({"memory": {"summarize": {"trigger_messages": 20}}}, "memory.summarize.keep_messages"),
        (
            {"memory": {"summarize": {"trigger_messages": 9, "keep_messages": 0}}},
            "memory.summarize.keep_messages",
        ),
        ({"memory": {"summarize": {"trigger_messages": 50, "model": "nobody"}}}, "memory.summarize.model"),
        ({"memory": {"summarize": {"trigger_messages": 50, "when": "often"}}}, "memory.summarize.when"),
        ({"memory": {"window": 9, "summarize": {"trigger_messages": 50}}}, "memory.window"),
        ({"memory": {"long_term": "yes"}}, "memory.long_term"),
        ({"memory": {"long_term": {"scope": "all"}}}, "memory.long_term"),
        ({"memory": {"long_term": {"size": 5}}}, "memory.long_term"),
        ({"config": {"max_steps": 0}}, "config.max_steps"),
        ({"config": {"max_steps": "many"}}, "config.max_steps"),
        ({"config": {"temperature": 5}}, "config.temperature"),
        ({"config": {"retries": -1}}, "config.retries"),
        ({"config": {"speed": 1}}, "config.speed"),
        ({"config": []}, "config"),
        ({"tags": ["x" * 51]}, "tags.0"),
        ({"system_prompt": "x" * 100_001}, "system_prompt"),
        ({"prompt": "typo"}, "prompt"),
    ],
)
def test_says_which_field_is_wrong(client, model, values, field):
    response = client.post("/agents", {"name": "helper", "model": "fast", **values})
    assert (response.status_code, response.json()["error"]["type"]) == (422, "ValidationError")
    assert field in fields_of(response)


def test_knows_no_model_of_another_workspace(client, other_workspace):
    ChatModelFactory(workspace=other_workspace, name="theirs")
    response = client.post("/agents", {"name": "helper", "model": "theirs"})
    assert (response.status_code, fields_of(response)) == (422, {"model"})


def test_hides_an_agent_from_a_stranger(api, charlie, agent):
    assert api(charlie).get(f"/agents/{agent.pk}").status_code == 404


def test_refuses_a_user_who_may_only_read(api, bob, agent):
    assert (api(bob).get("/agents/helper").status_code, api(bob).delete("/agents/helper").status_code) == (
        200,
        403,
    )


def test_moves_the_default(client, workspace, model):
    first = AgentFactory(workspace=workspace, model=model, is_default=True)
    AgentFactory(workspace=workspace, model=model, name="second")
    assert client.patch("/agents/second", {"is_default": True}).json()["is_default"] is True
    assert Agent.objects.get(pk=first.pk).is_default is False


def test_leaves_the_default_of_another_workspace_alone(client, agent, other_workspace):
    theirs = AgentFactory(workspace=other_workspace, is_default=True)
    client.patch("/agents/helper", {"is_default": True})
    assert Agent.objects.get(pk=theirs.pk).is_default


def test_lists_agents_by_page(client, workspace, model):
    AgentFactory.create_batch(3, workspace=workspace, model=model)
    page = client.get("/agents?limit=2").json()
    assert (page["total"], page["limit"], page["offset"], page["has_more"], len(page["items"])) == (
        3,
        2,
        0,
        True,
        2,
    )


def test_lists_any_number_of_agents_in_as_many_queries(
    client, workspace, model, tool, django_assert_max_num_queries
):
    AgentFactory.create_batch(20, workspace=workspace, model=model, tools=[tool])
    with django_assert_max_num_queries(3):
        assert len(client.get("/agents").json()["items"]) == 20


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tag=shop", ["b"]),
        ("enabled=false", ["a"]),
        ("is_default=true", ["c"]),
        ("model=slow", ["a"]),
        ("tool=calculator", ["c"]),
        ("search=ORDERS", ["b"]),
        ("ordering=-name", ["c", "b", "a"]),
        ("tag=nothing", []),
    ],
)
def test_narrows_the_list(client, workspace, model, tool, query, names):
    slow = ChatModelFactory(workspace=workspace, name="slow")
    AgentFactory(workspace=workspace, model=slow, name="a", enabled=False)
    AgentFactory(workspace=workspace, model=model, name="b", tags=["shop"], description="About orders")
    AgentFactory(workspace=workspace, model=model, name="c", tools=[tool], is_default=True)
    assert [item["name"] for item in client.get(f"/agents?{query}").json()["items"]] == names


def test_narrows_the_list_by_a_models_id(client, workspace, model, agent):
    assert client.get(f"/agents?model={model.pk}").json()["total"] == 1
