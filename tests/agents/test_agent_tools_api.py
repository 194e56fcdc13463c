"""/tools of kind agent: whom they ask, what does not go with them, and that no agent asks itself."""

from __future__ import annotations

import pytest

from agents.models import Agent
from agents.tools.schemas import MESSAGE_SCHEMA
from tests.factories import AgentFactory, AgentToolFactory, HttpToolFactory

ASK = {"name": "ask_helper", "kind": "agent", "agent": "helper"}


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture
def helper(workspace):
    return AgentFactory(workspace=workspace, name="helper", description="Knows all orders.")


@pytest.fixture
def tool(client, helper):
    return client.post("/tools", ASK).json()


def fields_of(response):
    return {entry["field"] for entry in response.json()["error"]["details"]}


@pytest.mark.parametrize("attribute", ["name", "pk"])
def test_takes_the_agent_by_name_and_by_id(client, helper, attribute):
    created = client.post("/tools", {**ASK, "agent": str(getattr(helper, attribute))})
    assert (created.status_code, created.json()["agent"]) == (201, "helper")


def test_is_described_as_the_agent_is(tool):
    assert tool["description"] == "Knows all orders."


def test_is_described_as_it_says_itself(client, helper):
    assert client.post("/tools", {**ASK, "description": "Ask it."}).json()["description"] == "Ask it."


def test_is_always_asked_with_one_message(tool):
    assert tool["arguments_schema"] == MESSAGE_SCHEMA


def test_can_be_read_and_sent_back(client, tool):
    assert client.put("/tools/ask_helper", tool).json()["agent"] == "helper"


def test_shows_no_agent_of_other_kinds(client, workspace):
    HttpToolFactory(workspace=workspace, name="get_order")
    assert client.get("/tools/get_order").json()["agent"] is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"agent": None}, "agent"),
        ({"agent": "nobody"}, "agent"),
        ({"agent": 7}, "agent"),
        ({"function": "calculator"}, "function"),
        ({"request": {"url": "https://example.com"}}, "request"),
        ({"secret_headers": {"X-Key": "a-secret-value"}}, "secret_headers"),
        ({"arguments_schema": {"type": "object", "properties": {"text": {}}}}, "arguments_schema"),
        ({"kind": "function", "function": "calculator"}, "agent"),
        ({"kind": "http", "request": {"url": "https://example.com"}}, "agent"),
    ],
)
def test_says_which_field_is_wrong(client, helper, values, field):
    response = client.post("/tools", {**ASK, **values})
    assert (response.status_code, fields_of(response)) == (422, {field})


def test_does_not_find_an_agent_of_another_workspace(client, workspace, other_workspace):
    AgentFactory(workspace=other_workspace, name="helper")
    response = client.post("/tools", ASK)
    assert (response.status_code, fields_of(response)) == (422, {"agent"})


def test_refuses_to_ask_an_agent_that_has_the_tool_itself(client, workspace, tool):
    AgentFactory(workspace=workspace, name="asker")
    client.patch("/agents/asker", {"tools": ["ask_helper"]})
    response = client.patch("/tools/ask_helper", {"agent": "asker"})
    assert (response.status_code, fields_of(response)) == (422, {"agent"})


def test_refuses_an_agent_the_tool_that_asks_it(client, tool):
    response = client.patch("/agents/helper", {"tools": ["ask_helper"]})
    assert (response.status_code, fields_of(response)) == (422, {"tools"})


def test_gives_another_agent_the_tool(client, workspace, tool):
    AgentFactory(workspace=workspace, name="asker")
    assert client.patch("/agents/asker", {"tools": ["ask_helper"]}).status_code == 200


def test_refuses_to_delete_an_agent_that_a_tool_asks(client, tool):
    response = client.delete("/agents/helper")
    assert (response.status_code, response.json()["error"]["details"]) == (
        409,
        {"used_by": ["tool ask_helper"]},
    )


def test_deletes_the_agent_after_the_tool(client, tool):
    client.delete("/tools/ask_helper")
    client.delete("/agents/helper")
    assert not Agent.objects.exists()


def test_narrows_the_list_to_the_kind(client, workspace, tool):
    HttpToolFactory(workspace=workspace)
    assert [item["name"] for item in client.get("/tools?kind=agent").json()["items"]] == ["ask_helper"]


def test_lists_any_number_of_them_in_as_many_queries(client, workspace, django_assert_max_num_queries):
    AgentToolFactory.create_batch(15, workspace=workspace)
    with django_assert_max_num_queries(3):
        assert len(client.get("/tools").json()["items"]) == 15


def test_is_tried_by_running_the_agent_itself(client, tool):
    tried = client.post("/tools/ask_helper/test", {"arguments": {"message": "Hello"}}).json()
    assert (tried["error"]["class"], "run that agent" in tried["error"]["message"]) == ("tool_error", True)
