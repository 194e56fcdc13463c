"""/config: components of all types by their names, read, written, tried, deleted and restored."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from agents.models import Agent, ChatModel, Secret, Version
from tests.factories import (
    AgentFactory,
    ApiKeyFactory,
    ChatModelFactory,
    HttpToolFactory,
    KnowledgeBaseFactory,
    McpServerFactory,
    ToolFactory,
    WorkflowFactory,
)

MODEL = {"type": "model", "name": "fast", "provider": "demo", "model": "scripted"}


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture
def everything(workspace):
    """A component of each type, called after it."""
    model = ChatModelFactory(workspace=workspace, name="model")
    KnowledgeBaseFactory(workspace=workspace, name="knowledge_base")
    McpServerFactory(workspace=workspace, name="mcp_server")
    tool = ToolFactory(workspace=workspace, name="tool")
    AgentFactory(workspace=workspace, name="agent", model=model, tools=[tool], tags=["shop"])
    WorkflowFactory(workspace=workspace, name="workflow", ask="model")


TYPES = ["model", "mcp_server", "knowledge_base", "tool", "agent", "workflow"]


def put(client, name, config, etag="", **more):
    headers = {"If-Match": etag} if etag else {}
    return client.put(f"/config/{name}", {"config": config, **more}, headers=headers)


@pytest.mark.parametrize(
    "path", ["/config", "/config/model/history", "/config/model/diff", "/config/model/restore"]
)
def test_writes_a_component_at_its_own_path_only(client, everything, path):
    answer = client.put(path, {"config": MODEL})
    assert (answer.status_code, "PUT" in answer["Allow"]) == (405, False)


# --- lists ---


def test_lists_components_of_all_types(client, everything):
    assert [one["type"] for one in client.get("/config").json()["configs"]] == TYPES


def test_lists_one_type(client, everything):
    assert client.get("/config?type=agent").json()["configs"] == [
        {"name": "agent", "type": "agent", "description": "", "enabled": True, "tags": ["shop"]}
    ]


def test_counts_all_and_shows_a_page(client, everything):
    answer = client.get("/config?limit=2&offset=2").json()
    assert (answer["total"], answer["has_more"], [one["name"] for one in answer["configs"]]) == (
        6,
        True,
        ["knowledge_base", "tool"],
    )


def test_lists_many_in_few_queries(client, workspace, django_assert_max_num_queries):
    ChatModelFactory.create_batch(12, workspace=workspace)
    with django_assert_max_num_queries(4):
        client.get("/config")


def test_names_the_types_that_there_are(client):
    answer = client.get("/config?type=modle")
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "type")


# --- reading ---


@pytest.mark.parametrize("name", TYPES)
def test_takes_back_what_it_has_shown(client, everything, name):
    shown = client.get(f"/config/{name}")
    answer = put(client, name, shown.json(), shown["ETag"])
    assert (answer.status_code, answer.json()["change"], answer["ETag"]) == (200, "unchanged", shown["ETag"])


def test_shows_references_by_name(client, everything):
    shown = client.get("/config/agent").json()
    assert (shown["type"], shown["model"], shown["tools"]) == ("agent", "model", ["tool"])


def test_finds_it_by_its_id(client, everything):
    assert client.get(f"/config/{Agent.objects.get().pk}").json()["name"] == "agent"


def test_does_not_find_what_is_another_workspaces(api, charlie, everything):
    answer = api(charlie).get("/config/agent")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "ConfigNotFound")


def test_asks_which_one_where_two_types_share_a_name(client, workspace):
    ChatModelFactory(workspace=workspace, name="shop")
    ToolFactory(workspace=workspace, name="shop")
    answer = client.get("/config/shop")
    assert (answer.status_code, answer.json()["error"]["details"]) == (409, {"types": ["model", "tool"]})


def test_finds_the_one_of_the_type(client, workspace):
    ChatModelFactory(workspace=workspace, name="shop")
    ToolFactory(workspace=workspace, name="shop")
    assert client.get("/config/shop?type=tool").json()["type"] == "tool"


# --- writing ---


def test_creates_what_there_is_not(client):
    answer = put(client, "fast", MODEL)
    assert (answer.status_code, answer.json()["success"], answer.json()["version"]) == (201, True, 1)


def test_replaces_what_there_is(client):
    put(client, "fast", {**MODEL, "description": "old"})
    answer = put(client, "fast", MODEL, "*")
    assert answer.json()["changes"] == {"description": {"old": "old", "new": ""}}


def test_takes_the_type_from_the_query(client):
    answer = client.put("/config/fast?type=model", {"config": {"provider": "demo", "model": "scripted"}})
    assert answer.status_code == 201


def test_takes_the_type_of_what_exists(client):
    etag = put(client, "fast", MODEL)["ETag"]
    answer = put(client, "fast", {"provider": "demo", "model": "scripted", "description": "new"}, etag)
    assert answer.json()["version"] == 2


def test_asks_for_the_type_of_what_is_new(client):
    answer = put(client, "fast", {"provider": "demo"})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "config.type")


def test_refuses_another_name_than_the_paths(client):
    answer = put(client, "slow", MODEL)
    assert answer.json()["error"]["details"][0]["field"] == "config.name"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({**MODEL, "modle": 1}, "config.modle"),
        ({**MODEL, "version": 3}, "config.version"),
        ({"type": "model", "provider": "demo"}, "config.model"),
        ({**MODEL, "fallbacks": ["gone"]}, "config.fallbacks"),
        ({"type": "agent", "model": "gone"}, "config.model"),
        ({"type": "agent", "model": 7}, "config.model"),
        ({"type": "tool", "kind": "mcp"}, "config.mcp_server"),
        ({"type": "workflow", "document": {"nodes": [], "edges": []}}, "config.document.nodes"),
        ({"type": "workflow", "document": 7}, "config.document"),
        ({"type": "model", "provider": "demo", "model": "x", "parameters": 7}, "config.parameters"),
        ({**MODEL, "type": 7}, "config.type"),
    ],
)
def test_names_the_field_that_is_wrong(client, db, config, field):
    answer = put(client, "fast", config)
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, field)


def test_tries_without_changing_anything(client, workspace):
    answer = put(client, "fast", MODEL, validate_only=True)
    assert (answer.status_code, answer.json()["change"], ChatModel.objects.count()) == (200, "created", 0)
    assert {"model": {"old": None, "new": "scripted"}}.items() <= answer.json()["changes"].items()
    assert "" not in answer.json()["changes"]


def test_says_what_a_trial_would_change_without_if_match(client):
    put(client, "fast", MODEL)
    answer = put(client, "fast", {**MODEL, "description": "new"}, validate_only=True)
    assert answer.json()["changes"] == {"description": {"old": "", "new": "new"}}


def test_checks_references_in_a_trial(client, db):
    answer = put(client, "shop", {"type": "agent", "model": "gone"}, validate_only=True)
    assert answer.status_code == 422


def test_writes_a_workflow_and_publishes_it(client, everything):
    shown = client.get("/config/workflow")
    document = {**shown.json()["document"], "state": {"answer": {"type": "string", "default": "?"}}}
    put(client, "workflow", {**shown.json(), "document": document}, shown["ETag"])
    workflow = client.get("/workflows/workflow").json()
    assert (workflow["version"], workflow["published_version"]) == (2, 2)


# --- secrets ---


@pytest.fixture
def secret(workspace):
    return Secret.objects.create(workspace=workspace, value="sk-once-and-never-again", hint="gain")


def test_shows_no_secret(client, workspace, secret):
    ChatModelFactory(workspace=workspace, name="fast", secret=secret)
    assert client.get("/config/fast").json()["api_key"] == "${secret:model/fast/api_key}"


def test_keeps_a_secret_that_is_sent_back(client, workspace, secret):
    ChatModelFactory(workspace=workspace, name="fast", secret=secret)
    shown = client.get("/config/fast").json()
    put(client, "fast", {**shown, "description": "new"}, "*")
    assert ChatModel.objects.get().secret_id == secret.pk


def test_keeps_a_secret_that_is_left_out(client, workspace, secret):
    ChatModelFactory(workspace=workspace, name="fast", secret=secret)
    put(client, "fast", {**MODEL, "description": "new"}, "*")
    assert ChatModel.objects.get().secret_id == secret.pk


def test_removes_a_secret_that_is_null(client, workspace, secret):
    ChatModelFactory(workspace=workspace, name="fast", secret=secret)
    put(client, "fast", {**MODEL, "api_key": None}, "*")
    assert ChatModel.objects.get().secret_id is None


def test_makes_no_new_version_of_the_same_secret(client, workspace, secret):
    ChatModelFactory(workspace=workspace, name="fast", secret=secret, parameters={})
    answer = put(client, "fast", {**MODEL, "api_key": "sk-once-and-never-again"}, "*")
    assert answer.json()["change"] == "unchanged"


def test_stores_a_new_secret(client, workspace, secret):
    ChatModelFactory(workspace=workspace, name="fast", secret=secret, parameters={})
    answer = put(client, "fast", {**MODEL, "api_key": "sk-another-one-of-these"}, "*")
    assert answer.json()["changes"] == {"api_key": {"old": "(secret …gain)", "new": "(secret …hese)"}}


def test_asks_for_the_value_of_an_unknown_placeholder(client, db):
    answer = put(client, "fast", {**MODEL, "api_key": "${secret:mine}"})
    assert answer.json()["error"]["details"] == [
        {
            "field": "config.api_key",
            "message": "The secret 'mine' is missing: send its value, or null to go without.",
        }
    ]


def test_removes_secret_headers_that_are_not_sent(client, workspace):
    HttpToolFactory(workspace=workspace, name="lookup")
    shown = client.get("/config/lookup").json()
    put(client, "lookup", {**shown, "secret_headers": {"X-One": "1", "X-Two": "2"}}, "*")
    put(
        client,
        "lookup",
        {**shown, "secret_headers": {"X-Two": "${secret:tool/lookup/secret_headers/X-Two}"}},
        "*",
    )
    assert list(client.get("/config/lookup").json()["secret_headers"]) == ["X-Two"]


def test_does_not_send_a_kept_secret_elsewhere(client, workspace):
    HttpToolFactory(workspace=workspace, name="lookup")
    shown = client.get("/config/lookup").json()
    put(client, "lookup", {**shown, "secret_headers": {"X-One": "1"}}, "*")
    moved = {**client.get("/config/lookup").json(), "request": {"url": "https://evil.example.com/{number}"}}
    answer = put(client, "lookup", moved, "*")
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (
        422,
        "config.secret_headers",
    )


# --- locking ---


def test_asks_which_state_is_changed(client):
    etag = put(client, "fast", MODEL)["ETag"]
    answer = put(client, "fast", {**MODEL, "description": "new"})
    assert (answer.status_code, answer.json()["error"]["type"], answer["ETag"]) == (
        428,
        "PreconditionRequired",
        etag,
    )


@pytest.mark.parametrize("tag", ['"1-nonsense"', 'W/"1"', "nonsense", '"'])
def test_refuses_another_state(client, tag):
    etag = put(client, "fast", MODEL)["ETag"]
    answer = put(client, "fast", {**MODEL, "description": "new"}, tag)
    assert (answer.status_code, answer.json()["error"]["type"], answer["ETag"]) == (
        412,
        "PreconditionFailed",
        etag,
    )


def test_refuses_a_weak_tag_of_the_present_state(client):
    etag = put(client, "fast", MODEL)["ETag"]
    assert put(client, "fast", {**MODEL, "description": "new"}, f"W/{etag}").status_code == 412


def test_takes_one_of_several_tags(client):
    etag = put(client, "fast", MODEL)["ETag"]
    assert put(client, "fast", {**MODEL, "description": "new"}, f'"0-x", {etag}').status_code == 200


def test_refuses_if_match_for_what_there_is_not(client, db):
    assert put(client, "fast", MODEL, "*").status_code == 412


def test_creates_only_where_nothing_is(client):
    headers = {"If-None-Match": "*"}
    codes = [client.put("/config/fast", {"config": MODEL}, headers=headers).status_code for _ in range(2)]
    assert codes == [201, 412]


def test_deletes_with_if_match_only(client):
    etag = put(client, "fast", MODEL)["ETag"]
    codes = [
        client.delete("/config/fast", headers=headers).status_code for headers in ({}, {"If-Match": etag})
    ]
    assert codes == [428, 204]


def test_does_not_delete_what_is_used(client, everything):
    answer = client.delete("/config/model", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["error"]["details"]["used_by"]) == (
        409,
        ["agent agent", "workflow workflow"],
    )


def test_does_not_delete_a_knowledge_base_with_documents(client, everything, workspace):
    from agents.models import KnowledgeBase
    from tests.factories import DocumentFactory

    DocumentFactory(knowledge_base=KnowledgeBase.objects.get())
    assert client.delete("/config/knowledge_base", headers={"If-Match": "*"}).status_code == 409


def test_tells_a_change_of_a_reference_by_its_tag(client, everything):
    before = client.get("/config/agent")["ETag"]
    ChatModel.objects.update(name="renamed")
    assert client.get("/config/agent")["ETag"] != before


@pytest.mark.django_db(transaction=True)
def test_lets_one_of_two_writers_win(api, olivia):
    etag = put(api(olivia), "fast", MODEL)["ETag"]
    barrier, codes = threading.Barrier(2), []

    def write(description):
        client = api(olivia)
        barrier.wait()
        codes.append(put(client, "fast", {**MODEL, "description": description}, etag).status_code)
        connections.close_all()

    threads = [threading.Thread(target=write, args=[name]) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(codes), Version.objects.count()) == ([200, 412], 2)


@pytest.mark.django_db(transaction=True)
def test_lets_one_of_two_creators_create(api, olivia):
    barrier, codes = threading.Barrier(2), []

    def write(description):
        client = api(olivia)
        barrier.wait()
        codes.append(put(client, "fast", {**MODEL, "description": description}).status_code)
        connections.close_all()

    threads = [threading.Thread(target=write, args=[name]) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(codes), ChatModel.objects.count()) == ([201, 428], 1)


# --- history ---


@pytest.fixture
def changed(client):
    """A model of three versions."""
    for description in ("first", "second", "third"):
        put(client, "fast", {**MODEL, "description": description}, "*" if description != "first" else "")


def test_tells_the_changes_newest_first(client, changed):
    answer = client.get("/config/fast/history").json()
    assert (answer["component_name"], [one["change_type"] for one in answer["history"]]) == (
        "fast",
        ["updated", "updated", "created"],
    )


def test_shows_the_configuration_before_and_after(client, changed):
    newest = client.get("/config/fast/history").json()["history"][0]
    assert (newest["old_config"]["description"], newest["new_config"]["description"]) == ("second", "third")


def test_shows_the_one_before_across_pages(client, changed):
    page = client.get("/config/fast/history?limit=1").json()
    assert (page["total"], page["has_more"], page["history"][0]["old_config"]["description"]) == (
        3,
        True,
        "second",
    )


def test_has_nothing_before_the_first(client, changed):
    page = client.get("/config/fast/history?limit=2&offset=2").json()
    assert [one["old_config"] for one in page["history"]] == [None]


def test_says_that_knowledge_bases_have_no_history(client, everything):
    assert client.get("/config/knowledge_base/history").status_code == 409


def test_compares_two_versions(client, changed):
    answer = client.get("/config/fast/diff?from=1&to=3").json()
    assert answer["changes"] == {"description": {"old": "first", "new": "third"}}


def test_compares_with_the_one_before_unless_said_otherwise(client, changed):
    answer = client.get("/config/fast/diff").json()
    assert (answer["from_version"], answer["to_version"]) == (2, 3)


def test_does_not_find_a_version_that_there_is_not(client, changed):
    assert client.get("/config/fast/diff?to=9").status_code == 404


def test_restores_a_version_as_a_new_one(client, changed):
    etag = client.get("/config/fast")["ETag"]
    answer = client.post("/config/fast/restore", {"version": 1}, headers={"If-Match": etag}).json()
    assert (answer["version"], answer["changes"]) == (4, {"description": {"old": "third", "new": "first"}})


def test_restores_with_if_match_only(client, changed):
    assert client.post("/config/fast/restore", {"version": 1}).status_code == 428


def test_shows_no_secret_in_its_history(client, db):
    put(client, "fast", {**MODEL, "api_key": "sk-once-and-never-again"})
    put(client, "fast", {**MODEL, "api_key": "sk-another-one-of-these"}, "*")
    text = client.get("/config/fast/history").content + client.get("/config/fast/diff").content
    assert b"sk-" not in text


# --- roles ---


def test_lets_a_viewer_read(api, vera, everything):
    assert api(vera).get("/config/agent").status_code == 200


def test_lets_a_viewer_write_nothing(api, vera, everything):
    assert put(api(vera), "fast", MODEL).status_code == 403


def test_lets_users_and_auditors_read_nothing(api, bob, audrey, everything):
    assert [api(caller).get("/config").status_code for caller in (bob, audrey)] == [403, 403]


def test_lets_an_operator_start_no_commands(client, workspace, settings):
    settings.MCP_ALLOWED_COMMANDS = ["uvx"]
    answer = put(client, "docs", {"type": "mcp_server", "transport": "stdio", "command": "uvx"})
    assert answer.status_code == 403


def test_lets_a_key_see_the_types_of_its_scopes(api, alice, workspace, everything):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:configuration", "read:tool"])
    assert [one["type"] for one in api(key).get("/config").json()["configs"]] == ["tool"]


def test_lets_a_key_read_no_other_type(api, alice, workspace, everything):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:configuration", "read:tool"])
    codes = [api(key).get(path).status_code for path in ("/config/agent", "/config/agent?type=agent")]
    assert codes == [404, 403]


def test_lets_a_key_write_no_other_type(api, alice, workspace, everything):
    scopes = ["read:configuration", "write:configuration", "read:model", "write:tool"]
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=scopes)
    assert put(api(key), "fast", MODEL).status_code == 403
