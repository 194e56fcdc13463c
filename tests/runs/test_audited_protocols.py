"""What is done over WebSocket, OpenAI's API and MCP is in the audit log as what is done over REST."""

from __future__ import annotations

import json

import pytest
from websockets.sync.client import connect

from accounts.audit import AuditEntry
from agentplatform.lib.concurrency import in_thread
from runs.models import Status
from tests.factories import AgentFactory, ApiKeyFactory, RunFactory

pytestmark = pytest.mark.django_db(transaction=True)


# What factories make is the platform's own doing.
def told() -> list[tuple]:
    rows = AuditEntry.objects.exclude(via="system").order_by("id")
    return list(rows.values_list("action", "via", "resource_id", "user_id"))


def cancel(server, run, key) -> None:
    url = f"{server.replace('http', 'ws')}/ws/runs/{run.pk}/"
    with connect(url, additional_headers={"X-API-Key": key.text}) as socket:
        socket.send(json.dumps({"action": "cancel"}))
        while "action" not in json.loads(socket.recv(timeout=10)):
            pass


def test_tells_of_a_command_over_a_socket(server, workspace, alice):
    run = RunFactory(workspace=workspace, user=alice, status=Status.CREATED)
    key = ApiKeyFactory(workspace=workspace, user=alice)
    with connect(
        f"{server.replace('http', 'ws')}/ws/runs/{run.pk}/", additional_headers={"X-API-Key": key.text}
    ) as socket:
        socket.send(json.dumps({"action": "cancel"}))
        while "action" not in json.loads(socket.recv(timeout=10)):
            pass
    assert told() == [("run_cancelled", "websocket", run.pk, alice.pk)]


def test_tells_the_address_and_key_of_a_socket(server, workspace, alice):
    run = RunFactory(workspace=workspace, user=alice, status=Status.CREATED)
    key = ApiKeyFactory(workspace=workspace, user=alice)
    with connect(
        f"{server.replace('http', 'ws')}/ws/runs/{run.pk}/", additional_headers={"X-API-Key": key.text}
    ) as socket:
        socket.send(json.dumps({"action": "cancel"}))
        while "action" not in json.loads(socket.recv(timeout=10)):
            pass
    entry = AuditEntry.objects.exclude(via="system").get()
    assert (entry.address, entry.api_key_id, bool(entry.request_id)) == ("127.0.0.1", key.pk, True)


def test_tells_of_a_chat_completion_and_not_what_was_said(openai_client, agent_on, alice):
    agent_on("echo", name="writer")
    openai_client().chat.completions.create(
        model="writer", messages=[{"role": "user", "content": "a secret word"}]
    )
    [entry] = AuditEntry.objects.exclude(via="system")
    assert (entry.action, entry.path, entry.user_id, "secret" in f"{entry.after}{entry.resource_name}") == (
        "run_started",
        "/v1/chat/completions",
        alice.pk,
        False,
    )


async def test_tells_of_a_tools_call_over_mcp(mcp_client, alice, workspace):
    await in_thread(AgentFactory, workspace=workspace, name="writer")
    async with mcp_client(alice) as client:
        await client.list_tools()
        await client.call_tool("agent_writer", {"message": "Hello"})
    assert [entry[:2] for entry in await in_thread(told)] == [("run_started", "mcp")]
