"""MCP servers in the admin: what it saves, what it never shows, and the buttons that ask a server."""

from __future__ import annotations

import sys

import pytest
from asgiref.sync import async_to_sync
from django.contrib.messages import get_messages
from django.urls import reverse

from agents.mcp import pool
from agents.models import McpServer, Secret, Tool
from tests.agents.mcp_support import PLAIN_SERVER
from tests.factories import McpServerFactory
from tests.runs.admin_support import signed_in

KEY = "a-long-secret-value-x7Qf"
HTTP = {
    "name": "documents",
    "enabled": "on",
    "transport": "http",
    "url": "https://mcp.example.com/mcp",
    "environment": "{}",
    "headers": "{}",
    "timeout_seconds": 30,
}
STDIO = HTTP | {
    "transport": "stdio",
    "url": "",
    "command": sys.executable,
    "arguments": f"-u\n{PLAIN_SERVER}",
}


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.MCP_ALLOWED_COMMANDS = [sys.executable]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def _closed():
    yield
    async_to_sync(pool.close)()


@pytest.fixture
def stdio_server(workspace):
    return McpServerFactory(
        workspace=workspace, transport="stdio", url="", command=sys.executable, arguments=[PLAIN_SERVER]
    )


def add(client, workspace, **data):
    return client.post(reverse("admin:agents_mcpserver_add"), {"workspace": workspace.pk, **data})


def change(client, server, **data):
    seen = {"seen": str(McpServer.objects.get(pk=server.pk).version_id)}
    return client.post(reverse("admin:agents_mcpserver_change", args=[server.pk]), {**seen, **data})


def page_of(client, server):
    return client.get(reverse("admin:agents_mcpserver_change", args=[server.pk])).content.decode()


def errors_of(response):
    return dict(response.context["adminform"].form.errors)


def press(client, server, button):
    """What the page says after one of its buttons."""
    path = reverse(f"admin:agents_mcpserver_{button}", args=[server.pk])
    response = client.post(path, {"_form_submitted": "true"})
    return response.status_code, [str(message) for message in get_messages(response.wsgi_request)]


def test_adds_a_server_with_encrypted_secrets(olivia, workspace):
    add(signed_in(olivia), workspace, **HTTP, new_secrets=f'{{"X-Key": "{KEY}"}}')
    assert Secret.objects.get().value == KEY


def test_records_a_version(olivia, workspace):
    add(signed_in(olivia), workspace, **HTTP)
    assert McpServer.objects.get().version.data["url"] == HTTP["url"]


def test_takes_one_argument_in_each_line(alice, workspace):
    add(signed_in(alice), workspace, **STDIO)
    assert McpServer.objects.get().arguments == ["-u", PLAIN_SERVER]


def test_lets_admins_only_say_what_is_started(olivia, workspace):
    assert "write:mcp-command" in str(errors_of(add(signed_in(olivia), workspace, **STDIO))["transport"])


def test_starts_no_command_that_is_not_allowed(alice, workspace):
    response = add(signed_in(alice), workspace, **STDIO | {"command": "sh"})
    assert "MCP_ALLOWED_COMMANDS" in str(errors_of(response)["command"])


def test_never_shows_a_secret(olivia, workspace):
    client = signed_in(olivia)
    add(client, workspace, **HTTP, new_secrets=f'{{"X-Key": "{KEY}"}}')
    page = page_of(client, McpServer.objects.get())
    assert ("X-Key: …x7Qf" in page, KEY in page) == (True, False)


def test_sends_a_secret_to_no_other_server(olivia, workspace):
    client = signed_in(olivia)
    add(client, workspace, **HTTP, new_secrets=f'{{"X-Key": "{KEY}"}}')
    response = change(client, McpServer.objects.get(), **HTTP | {"url": "https://evil.example.com/mcp"})
    assert "new_secrets" in errors_of(response)


def test_disables_a_server_whose_address_is_refused_by_now(olivia, workspace):
    server = McpServerFactory(workspace=workspace)
    data = {name: value for name, value in HTTP.items() if name != "enabled"}
    change(signed_in(olivia), server, **data | {"name": server.name, "url": server.url})
    assert not McpServer.objects.get().enabled


def test_discovers_by_a_button(olivia, stdio_server):
    status, [said] = press(signed_in(olivia), stdio_server, "discover_this")
    assert (status, "new: add, " in said, Tool.objects.exists()) == (302, True, False)


def test_imports_by_a_button(olivia, stdio_server):
    press(signed_in(olivia), stdio_server, "import_from_this")
    assert Tool.objects.filter(mcp_server=stdio_server, name="add").exists()


def test_shows_what_was_discovered(olivia, stdio_server):
    client = signed_in(olivia)
    press(client, stdio_server, "discover_this")
    page = page_of(client, stdio_server)
    assert ("Adds two numbers." in page, "testing 1.2.3" in page) == (True, True)


def test_says_why_a_server_cannot_be_reached(olivia, workspace):
    server = McpServerFactory(workspace=workspace)
    _, [said] = press(signed_in(olivia), server, "discover_this")
    assert "loopback address" in said


def test_discovers_those_that_are_selected(olivia, stdio_server):
    data = {"action": "discover_each", "_selected_action": [stdio_server.pk]}
    signed_in(olivia).post(reverse("admin:agents_mcpserver_changelist"), data)
    stdio_server.refresh_from_db()
    assert stdio_server.health == "healthy"


@pytest.mark.parametrize("button", ["discover_this", "import_from_this"])
def test_asks_a_server_for_nobody_who_may_only_look(vera, stdio_server, button):
    assert press(signed_in(vera), stdio_server, button)[0] == 403


def test_does_nothing_when_a_button_is_only_opened(olivia, stdio_server):
    path = reverse("admin:agents_mcpserver_import_from_this", args=[stdio_server.pk])
    signed_in(olivia).get(path)
    assert not Tool.objects.exists()


def test_restores_a_command_for_admins_only(olivia, stdio_server):
    data = {"action": "restore", "_selected_action": [stdio_server.version_id]}
    response = signed_in(olivia).post(reverse("admin:agents_version_changelist"), data, follow=True)
    assert "you may not change this" in response.content.decode()
