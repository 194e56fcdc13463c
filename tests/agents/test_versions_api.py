"""/…/versions and restore, for models, tools and agents alike."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from agents.models import Agent
from tests.factories import AgentFactory, ChatModelFactory, ToolFactory

MAKERS = {"agents": AgentFactory, "models": ChatModelFactory, "tools": ToolFactory}


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture(params=MAKERS)
def path(request, workspace, client):
    """The path of an object that was changed once."""
    MAKERS[request.param](workspace=workspace, name="thing", description="first")
    client.patch(f"/{request.param}/thing", {"description": "second"})
    return f"/{request.param}/thing"


def test_records_each_change(client, path):
    items = client.get(f"{path}/versions").json()["items"]
    assert [(item["number"], item["change"]) for item in items] == [(2, "updated"), (1, "created")]


def test_names_the_author(client, path):
    assert client.get(f"{path}/versions").json()["items"][0]["author"] == "olivia"


def test_shows_the_configuration_as_it_stood(client, path):
    versions = client.get(f"{path}/versions").json()["items"]
    assert [version["data"]["description"] for version in versions] == ["second", "first"]


def test_records_nothing_where_nothing_changed(client, path):
    client.patch(path, {"description": "second"})
    assert client.get(f"{path}/versions").json()["total"] == 2


def test_numbers_the_version_in_the_object(client, path):
    assert client.get(path).json()["version"] == 2


def test_restores_a_version(client, path):
    response = client.post(f"{path}/versions/1/restore")
    assert (response.status_code, response.json()["description"], response.json()["version"]) == (
        200,
        "first",
        3,
    )


def test_restores_a_name_too(client, path):
    client.patch(path, {"name": "renamed"})
    response = client.post(f"{path.replace('thing', 'renamed')}/versions/1/restore")
    assert (response.status_code, response.json()["name"]) == (200, "thing")


def test_refuses_to_restore_a_name_that_is_taken(client, path, workspace):
    client.patch(path, {"name": "renamed"})
    kind = path.split("/")[1]
    MAKERS[kind](workspace=workspace, name="thing")
    assert client.post(f"/{kind}/renamed/versions/1/restore").status_code == 409


def test_says_that_a_version_does_not_exist(client, path):
    assert client.post(f"{path}/versions/9/restore").json()["error"]["type"] == "VersionNotFound"


def test_lets_a_viewer_read_but_not_restore(api, vera, path):
    client = api(vera)
    assert client.get(f"{path}/versions").status_code == 200
    assert client.post(f"{path}/versions/1/restore").status_code == 403


def test_hides_versions_from_a_stranger(api, charlie, path):
    assert api(charlie).get(f"{path}/versions").status_code == 404


def test_refuses_to_restore_what_needs_a_deleted_tool(client, workspace):
    tool = ToolFactory(workspace=workspace, name="abacus")
    AgentFactory(workspace=workspace, name="thing", tools=[tool])
    client.patch("/agents/thing", {"tools": []})
    client.delete("/tools/abacus")
    response = client.post("/agents/thing/versions/1/restore")
    assert (response.status_code, response.json()["error"]["type"]) == (422, "InvalidConfig")


@pytest.mark.parametrize("path", ["models", "tools"])
def test_shows_no_secret_and_no_id_of_one(client, workspace, path):
    bodies = {
        "models": {"provider": "openai", "model": "x", "api_key": "sk-very-secret-7Qf2"},
        "tools": {
            "kind": "http",
            "request": {"url": "https://example.com/"},
            "secret_headers": {"X-Key": "sk-very-secret-7Qf2"},
        },
    }
    client.post(f"/{path}", {"name": "thing", **bodies[path]})
    text = client.get(f"/{path}/thing/versions").text
    assert ("7Qf2" in text, "very-secret" in text, '"secret":' in text) == (True, False, False)


@pytest.mark.django_db(transaction=True)
def test_loses_no_change_when_two_write_at_the_same_time(api, olivia, workspace):
    AgentFactory(workspace=workspace, name="thing")
    changes = [
        {"description": "new"},
        {"system_prompt": "new"},
        {"tags": ["new"]},
        {"config": {"max_steps": 7}},
    ]
    barrier = threading.Barrier(len(changes))

    def write(change):
        client = api(olivia)
        barrier.wait()
        client.patch("/agents/thing", change)
        connections.close_all()

    threads = [threading.Thread(target=write, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    agent = Agent.objects.get(name="thing")
    written = (agent.description, agent.system_prompt, agent.tags, agent.config, agent.version.number)
    assert written == ("new", "new", ["new"], {"max_steps": 7}, 5)


@pytest.mark.django_db(transaction=True)
def test_breaks_no_agent_when_its_tool_is_deleted_at_the_same_time(api, olivia, workspace):
    AgentFactory(workspace=workspace, name="thing")
    ToolFactory(workspace=workspace, name="abacus")
    barrier = threading.Barrier(2)
    statuses = {}

    def run(name, method, path, body=None):
        client = api(olivia)
        barrier.wait()
        statuses[name] = getattr(client, method)(path, body).status_code
        connections.close_all()

    threads = [
        threading.Thread(target=run, args=("add", "patch", "/agents/thing", {"tools": ["abacus"]})),
        threading.Thread(target=run, args=("delete", "delete", "/tools/abacus")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses in ({"add": 200, "delete": 409}, {"add": 409, "delete": 204}, {"add": 422, "delete": 204})
