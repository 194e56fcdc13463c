"""/mcp-servers: what may be written, by whom, that secrets stay where they were sent, and discovery."""

from __future__ import annotations

import sys

import pytest
from asgiref.sync import async_to_sync

from agents import versions
from agents.launch import prepare
from agents.mcp import pool
from agents.models import Kind, McpServer, Secret, Tool, Version
from agents.pinned import load
from tests.agents.mcp_support import SERVER, free_port, http_process
from tests.factories import AgentFactory, McpServerFactory, McpToolFactory, ToolFactory

URL = "https://mcp.example.com/mcp"
HTTP = {"name": "documents", "transport": "http", "url": URL, "secrets": {"X-Key": "letmein"}}
STDIO = {"name": "local", "transport": "stdio", "command": sys.executable, "arguments": [SERVER]}


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.MCP_ALLOWED_COMMANDS = [sys.executable]


@pytest.fixture(autouse=True)
def _closed():
    yield
    async_to_sync(pool.close)()


@pytest.fixture
def client(api, alice):
    return api(alice)


@pytest.fixture(scope="module")
def http_port():
    port = free_port()
    with http_process(port):
        yield port


@pytest.fixture
def local_url(settings, http_port):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    return f"http://127.0.0.1:{http_port}/mcp"


@pytest.fixture
def documents(client, local_url):
    """A server that was made over the API and can be reached."""
    return client.post("/mcp-servers", HTTP | {"url": local_url}).json()


def faults_of(response):
    return {entry["field"]: entry["message"] for entry in response.json()["error"]["details"]}


# --- writing ---


def test_is_read_as_it_was_written(client):
    created = client.post("/mcp-servers", HTTP).json()
    assert {name: created[name] for name in ("name", "transport", "url")} == {
        name: HTTP[name] for name in ("name", "transport", "url")
    }


def test_shows_of_a_secret_its_last_characters_only(client):
    created = client.post("/mcp-servers", HTTP | {"secrets": {"X-Key": "a-long-secret-value-x7Qf"}})
    assert created.json()["secret_hints"] == {"X-Key": "x7Qf"}
    assert "a-long-secret" not in created.content.decode()


def test_encrypts_its_secrets(client):
    client.post("/mcp-servers", HTTP)
    assert [secret.value for secret in Secret.objects.all()] == ["letmein"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": ""}, "url"),
        ({"url": "http://10.0.0.1/mcp"}, "url"),
        ({"url": "http://user:password@mcp.example.com/mcp"}, "url"),
        ({"command": "npx"}, "command"),
        ({"arguments": ["-y"]}, "arguments"),
        ({"environment": {"A": "b"}}, "environment"),
        ({"headers": {"A b": "c"}}, "headers.A b"),
        ({"headers": {"Host": "c"}}, "headers.Host"),
        ({"headers": {"MCP-Session-Id": "c"}}, "headers.MCP-Session-Id"),
        ({"headers": {"A": "b\r\nC: d"}}, "headers.A"),
        ({"headers": {"A": "…"}}, "headers.A"),
        ({"secrets": {"A b": "c"}}, "secrets.A b"),
        ({"secrets": {"A": "b\r\nC: d"}}, "secrets.A"),
        ({"secrets": {"A": "Bearer …"}}, "secrets.A"),
        ({"timeout_seconds": 601}, "timeout_seconds"),
        ({"transport": "sse"}, "transport"),
    ],
    ids=str,
)
def test_refuses_a_server_over_http(client, change, field):
    response = client.post("/mcp-servers", HTTP | change)
    assert (response.status_code, field in faults_of(response)) == (422, True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"command": ""}, "command"),
        ({"command": "python"}, "command"),
        ({"command": f"{sys.executable} "}, "command"),
        ({"command": "sh -c"}, "command"),
        ({"url": URL}, "url"),
        ({"headers": {"A": "b"}}, "headers"),
        ({"environment": {"A-B": "c"}}, "environment.A-B"),
        ({"environment": {"PATH": "/tmp"}}, "environment.PATH"),
        ({"environment": {"LD_PRELOAD": "/tmp/x.so"}}, "environment.LD_PRELOAD"),
        ({"secrets": {"A-B": "c"}}, "secrets.A-B"),
        ({"secrets": {"LD_PRELOAD": "/tmp/x.so"}}, "secrets.LD_PRELOAD"),
        ({"arguments": ["x"] * 101}, "arguments"),
    ],
    ids=str,
)
def test_refuses_a_server_over_stdio(client, change, field):
    response = client.post("/mcp-servers", STDIO | change)
    # White space around a command is taken off before it is looked at.
    expected = (201, None) if change == {"command": f"{sys.executable} "} else (422, True)
    found = field in faults_of(response) if response.status_code == 422 else None
    assert (response.status_code, found) == expected


def test_says_how_a_command_gets_allowed(client, settings):
    settings.MCP_ALLOWED_COMMANDS = ["npx"]
    assert "MCP_ALLOWED_COMMANDS" in faults_of(client.post("/mcp-servers", STDIO))["command"]


def test_refuses_a_name_that_is_taken(client):
    client.post("/mcp-servers", HTTP)
    assert client.post("/mcp-servers", HTTP).status_code == 409


# --- who may ---


def test_lets_operators_write_servers_over_http(api, olivia):
    assert api(olivia).post("/mcp-servers", HTTP).status_code == 201


def test_lets_admins_only_write_servers_over_stdio(api, alice, olivia):
    statuses = [api(user).post("/mcp-servers", STDIO).status_code for user in (olivia, alice)]
    assert statuses == [403, 201]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"description": "Mine."}, 200),
        ({"enabled": False}, 200),
        ({"arguments": ["-c", "print()"]}, 403),
        ({"environment": {"A": "b"}}, 403),
        ({"secrets": {"A": "b"}}, 403),
        ({"transport": "http", "url": URL, "command": "", "arguments": []}, 200),
    ],
    ids=str,
)
def test_lets_operators_change_of_servers_over_stdio_what_starts_nothing(api, alice, olivia, change, status):
    api(alice).post("/mcp-servers", STDIO)
    assert api(olivia).patch("/mcp-servers/local", change).status_code == status


def test_lets_admins_only_restore_a_version_over_stdio(api, alice, olivia):
    api(alice).post("/mcp-servers", STDIO)
    api(alice).patch("/mcp-servers/local", {"transport": "http", "url": URL, "command": "", "arguments": []})
    statuses = [
        api(user).post("/mcp-servers/local/versions/1/restore").status_code for user in (olivia, alice)
    ]
    assert statuses == [403, 200]


# --- secrets stay where they were sent ---


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"url": "https://mcp.example.com/other"}, 200),
        ({"url": "https://evil.example.com/mcp"}, 422),
        ({"url": "http://mcp.example.com/mcp"}, 422),
        ({"url": "https://evil.example.com/mcp", "secrets": {"X-Key": "new"}}, 200),
        ({"url": "https://evil.example.com/mcp", "secrets": {"x-key": "new"}}, 200),
        ({"url": "https://evil.example.com/mcp", "secrets": {"X-Key": None}}, 200),
        ({"url": "https://evil.example.com/mcp", "secrets": None}, 200),
        ({"url": "https://evil.example.com/mcp", "secrets": {"Other": "new"}}, 422),
        ({**STDIO, "name": "documents", "url": ""}, 422),
    ],
    ids=str,
)
def test_sends_a_secret_over_http_to_no_other_server(client, change, status):
    client.post("/mcp-servers", HTTP)
    assert client.patch("/mcp-servers/documents", change).status_code == status


@pytest.mark.parametrize(
    "change",
    [{"arguments": ["-c", "print()"]}, {"environment": {"API": "https://evil.example.com"}}],
    ids=str,
)
def test_hands_a_secret_to_no_other_command(client, change):
    client.post("/mcp-servers", STDIO | {"secrets": {"TOKEN": "letmein"}})
    assert "secrets" in faults_of(client.patch("/mcp-servers/local", change))


def test_keeps_secrets_that_are_not_sent(client):
    client.post("/mcp-servers", HTTP)
    assert client.patch("/mcp-servers/documents", {"description": "Mine."}).json()["secret_hints"] != {}


def test_brings_a_secret_back_with_its_version(client):
    client.post("/mcp-servers", HTTP)
    before = McpServer.objects.get().secret_values
    client.patch("/mcp-servers/documents", {"url": "https://evil.example.com/mcp", "secrets": None})
    client.post("/mcp-servers/documents/versions/1/restore")
    assert McpServer.objects.get().secret_values == before


def test_shows_no_secret_in_its_versions(client):
    client.post("/mcp-servers", HTTP)
    [version] = client.get("/mcp-servers/documents/versions").json()["items"]
    assert version["data"]["secret_values"]["X-Key"].keys() == {"hint"}


# --- its tools ---


def test_is_not_deleted_while_a_tool_uses_it(client, workspace):
    tool = McpToolFactory(workspace=workspace)
    response = client.delete(f"/mcp-servers/{tool.mcp_server.name}")
    assert (response.status_code, response.json()["error"]["details"]) == (
        409,
        {"used_by": [f"tool {tool.name}"]},
    )


def test_is_unknown_to_tools_of_another_workspace(client, other_workspace):
    server = McpServerFactory(workspace=other_workspace)
    body = {"name": "add", "kind": "mcp", "mcp_tool": "add"}
    responses = [client.post("/tools", {**body, "mcp_server": one}) for one in (server.name, str(server.pk))]
    assert ["mcp_server" in faults_of(response) for response in responses] == [True, True]


@pytest.mark.parametrize("field", ["mcp_server", "mcp_tool"])
def test_is_needed_by_a_tool_of_its_kind(client, workspace, field):
    body = {
        "name": "add",
        "kind": "mcp",
        "mcp_server": McpServerFactory(workspace=workspace).name,
        "mcp_tool": "add",
    }
    del body[field]
    assert field in faults_of(client.post("/tools", body))


def test_does_not_go_with_tools_of_another_kind(client, workspace):
    server = McpServerFactory(workspace=workspace)
    body = {"name": "add", "kind": "function", "function": "calculator", "mcp_server": server.name}
    assert "mcp_server" in faults_of(client.post("/tools", body))


def test_is_shown_with_its_tools(client, workspace):
    tool = McpToolFactory(workspace=workspace)
    McpToolFactory(workspace=workspace)
    found = client.get("/tools", {"mcp_server": tool.mcp_server.name}).json()["items"]
    assert [(one["name"], one["mcp_tool"]) for one in found] == [(tool.name, "add")]


def test_comes_back_with_a_tools_version(client, workspace):
    tool = McpToolFactory(workspace=workspace)
    body = {"kind": "function", "function": "calculator", "mcp_server": None, "mcp_tool": ""}
    assert client.patch(f"/tools/{tool.name}", body | {"arguments_schema": {}}).status_code == 200
    restored = client.post(f"/tools/{tool.name}/versions/1/restore").json()
    assert restored["mcp_server"] == tool.mcp_server.name


def test_is_pinned_with_the_agents_version(workspace):
    tool = McpToolFactory(workspace=workspace)
    agent = AgentFactory(workspace=workspace, tools=[tool])
    pins = prepare(workspace.pk, agent.name).pins
    tool.mcp_server.url = "https://elsewhere.example.com/mcp"
    tool.mcp_server.save()
    versions.record(tool.mcp_server, None, "updated")
    [found] = load(agent.version_id, pins).tools
    assert found.mcp_server.url == "http://127.0.0.1:9/mcp"


def test_is_pinned_once_for_all_its_tools(workspace):
    server = McpServerFactory(workspace=workspace)
    tools = [McpToolFactory(workspace=workspace, mcp_server=server) for _ in range(3)]
    agent = AgentFactory(workspace=workspace, tools=tools)
    pins = prepare(workspace.pk, agent.name).pins
    assert Version.objects.filter(pk__in=pins, kind=Kind.MCP_SERVER).count() == 1
    assert len(pins) == 5


def test_is_among_the_secrets_of_its_agents(workspace):
    secret = Secret.objects.create(workspace=workspace, value="letmein", hint="")
    server = McpServerFactory(
        workspace=workspace, secret_values={"X-Key": {"secret": str(secret.pk), "hint": ""}}
    )
    agent = AgentFactory(workspace=workspace, tools=[McpToolFactory(workspace=workspace, mcp_server=server)])
    assert secret.pk in load(agent.version_id, prepare(workspace.pk, agent.name).pins).secret_ids


def test_keeps_runs_from_starting_while_it_is_disabled(client, workspace):
    tool = McpToolFactory(workspace=workspace)
    AgentFactory(workspace=workspace, name="asker", tools=[tool])
    client.patch(f"/mcp-servers/{tool.mcp_server.name}", {"enabled": False})
    response = client.post("/runs", {"agent_id": "asker", "message": "Hello"})
    assert tool.mcp_server.name in faults_of(response)["tools"]


# --- discovery ---


def discovered(client, name="documents", **body):
    response = client.post(f"/mcp-servers/{name}/discover", body)
    assert response.status_code == 200, response.content
    return response.json()


def test_discovers_tools_over_http(client, documents):
    assert "add" in discovered(client)["new"]


def test_discovers_tools_over_stdio(client):
    client.post("/mcp-servers", STDIO)
    assert "add" in discovered(client, "local")["new"]


def test_discovers_without_importing(client, documents):
    discovered(client)
    assert not Tool.objects.exists()


def test_stores_what_was_discovered(client, documents):
    discovered(client)
    shown = client.get("/mcp-servers/documents").json()
    assert (shown["health"], shown["server_info"]["name"], "add" in shown["discovered"]) == (
        "healthy",
        "testing",
        True,
    )


def test_says_why_a_server_cannot_be_reached(client, workspace):
    McpServerFactory(workspace=workspace, name="documents")
    found = discovered(client)
    assert (found["ok"], "loopback address" in found["message"]) == (False, True)


def test_shows_that_a_server_fails(client, workspace):
    McpServerFactory(workspace=workspace, name="documents")
    discovered(client)
    shown = client.get("/mcp-servers", {"health": "failing"}).json()["items"]
    assert ["loopback address" in one["health_message"] for one in shown] == [True]


def test_keeps_what_it_knows_of_a_server_that_fails(client, documents, settings):
    discovered(client)
    settings.OUTBOUND_ALLOWED_HOSTS = []
    discovered(client)
    assert "add" in client.get("/mcp-servers/documents").json()["discovered"]


def test_forgets_the_health_of_a_server_that_is_changed(client, documents):
    discovered(client)
    changed = client.patch("/mcp-servers/documents", {"headers": {"X-Other": "b"}}).json()
    assert changed["health"] == "unknown"


def test_imports_all_tools(client, documents):
    found = discovered(client, **{"import": True})
    assert len(found["imported"]) == len(found["new"]) == Tool.objects.count() > 5


def test_imports_the_tools_that_are_named(client, documents):
    found = discovered(client, **{"import": ["add"], "prefix": "docs_"})
    assert found["imported"] == [{"mcp_tool": "add", "tool": "docs_add"}]


def test_imports_schema_and_description(client, documents):
    discovered(client, **{"import": ["add"]})
    tool = client.get("/tools/add").json()
    assert (tool["description"], tool["arguments_schema"]["required"]) == ("Adds two numbers.", ["a", "b"])


def test_imports_a_tool_that_can_be_tested(client, documents):
    discovered(client, **{"import": ["add"]})
    trial = client.post("/tools/add/test", {"arguments": {"a": 1, "b": 2}}).json()
    assert trial["result"]["content"] == {"sum": 3}


def test_tells_what_has_been_imported(client, documents):
    discovered(client, **{"import": ["add", "sleep"]})
    Tool.objects.filter(name="sleep").update(description="Dozes.")
    Tool.objects.create(
        workspace=Tool.objects.first().workspace,
        name="vanished",
        tool_kind="mcp",
        mcp_server=McpServer.objects.get(),
        mcp_tool="vanished",
    )
    found = discovered(client)
    assert (found["unchanged"], found["changed"], found["gone"]) == (["add"], ["sleep"], ["vanished"])


def test_changes_a_tool_that_is_there(client, documents):
    discovered(client, **{"import": ["add"]})
    client.patch("/tools/add", {"description": "Old.", "requires_approval": True})
    discovered(client, **{"import": ["add"]})
    tool = client.get("/tools/add").json()
    assert (tool["description"], tool["requires_approval"], tool["version"]) == ("Adds two numbers.", True, 3)


def test_changes_nothing_where_nothing_has_changed(client, documents):
    discovered(client, **{"import": ["add"]})
    assert discovered(client, **{"import": ["add"]})["imported"] == []


def test_never_deletes_a_tool(client, documents, workspace):
    McpToolFactory(
        workspace=workspace, name="vanished", mcp_server=McpServer.objects.get(), mcp_tool="vanished"
    )
    discovered(client, **{"import": True})
    assert Tool.objects.filter(name="vanished").exists()


def test_imports_the_others_where_a_name_is_taken(client, documents, workspace):
    ToolFactory(workspace=workspace, name="add")
    found = discovered(client, **{"import": ["add", "sleep"]})
    assert [one["mcp_tool"] for one in found["imported"]] == ["sleep"]
    assert "There is already a tool 'add'" in found["refused"][0]["message"]


def test_says_which_tool_the_server_does_not_have(client, documents):
    [refused] = discovered(client, **{"import": ["absent"]})["refused"]
    assert refused["tool"] == "absent"


@pytest.mark.parametrize("wanted", ["add", 1, {"add": True}, [1]], ids=str)
def test_imports_names_only(client, documents, wanted):
    response = client.post("/mcp-servers/documents/discover", {"import": wanted})
    assert "import" in faults_of(response)


def test_discovers_for_nobody_who_may_only_look(api, vera, documents):
    assert api(vera).post("/mcp-servers/documents/discover").status_code == 403


def test_imports_for_nobody_who_may_not_write_tools(api, alice, documents, workspace):
    scopes = ["read:mcp-server", "test:mcp-server"]
    text = api(alice).post("/auth/api-keys", {"name": "narrow", "scopes": scopes}).json()["key"]
    client = api()
    client.credentials(HTTP_X_API_KEY=text)
    statuses = [
        client.post("/mcp-servers/documents/discover", {"import": wanted}).status_code
        for wanted in (False, ["add"])
    ]
    assert statuses == [200, 403]
