"""Who may ask the MCP server for what: credentials, permissions, tenants, origins, and messages that are none."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from mcp import MCPError

from agentplatform.lib.concurrency import in_thread
from runs.models import Run
from tests.factories import AgentFactory, ApiKeyFactory, MembershipFactory, SessionFactory
from tests.runs.mcp_support import ACCEPT, credentials, names, text_of

pytestmark = pytest.mark.django_db(transaction=True)


# who may


def test_asks_for_credentials(mcp_post, agent):
    answer = mcp_post(None)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (
        401,
        'Bearer realm="mcp", scope="execute:agent execute:workflow"',
    )


def test_says_what_is_wrong_with_credentials(mcp_post, agent):
    answer = mcp_post(None, headers={"X-API-Key": "ap_nonsense"})
    assert (answer.status_code, 'error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (401, True)


def test_refuses_in_both_shapes_of_an_error(mcp_post, agent):
    document = mcp_post(None).json()
    assert (document["jsonrpc"], document["id"], document["error"]["code"]) == ("2.0", None, -32000)
    assert document["error"]["type"] == "NotAuthenticated"


async def test_lets_the_client_show_why_it_is_refused(mcp_client, agent, vera):
    with pytest.raises(BaseExceptionGroup) as refused:
        async with mcp_client(vera, "legacy"):
            pass
    assert "execute:agent" in str(leaf_of(refused.value))


def leaf_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    return error


@pytest.mark.parametrize(
    ("name", "status"), [("alice", 200), ("olivia", 200), ("bob", 200), ("vera", 403), ("audrey", 403)]
)
def test_is_for_those_who_may_run_agents(request, mcp_post, agent, name, status):
    answer = mcp_post(request.getfixturevalue(name))
    assert answer.status_code == status


def test_respects_the_scopes_of_a_key(mcp_post, agent, alice, workspace):
    may = ApiKeyFactory(workspace=workspace, user=alice, scopes=["execute:agent"])
    may_not = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:agent", "read:run"])
    assert [mcp_post(key).status_code for key in (may, may_not)] == [200, 403]


async def test_needs_no_more_than_the_one_scope(mcp_client, agent, alice, workspace):
    key = await in_thread(ApiKeyFactory, workspace=workspace, user=alice, scopes=["execute:agent"])

    async with mcp_client(key) as client:
        assert await names(client) == ["agent_assistant"]
        result = await client.call_tool("agent_assistant", {"message": "What is 6 * 7?"})

    assert "42" in text_of(result)
    assert (await in_thread(Run.objects.get)).api_key_id == key.pk


async def test_takes_a_key_as_bearer_too(mcp_client, agent, alice, workspace):
    key = await in_thread(ApiKeyFactory, workspace=workspace, user=alice)

    async with mcp_client(None, Authorization=f"Bearer {key.text}") as client:
        assert await names(client) == ["agent_assistant"]


# tenants


async def test_shows_only_the_callers_own_workspace(mcp_client, agent, charlie, other_workspace):
    await in_thread(AgentFactory, workspace=other_workspace, name="secretary")

    async with mcp_client(charlie) as client:
        assert await names(client) == ["agent_secretary"]


async def test_knows_no_agent_of_another_tenant(mcp_client, agent, charlie):
    async with mcp_client(charlie) as client:
        with pytest.raises(MCPError, match="Unknown tool: agent_assistant"):
            await client.call_tool("agent_assistant", {"message": "Hello"})
    assert not await in_thread(Run.objects.exists)


async def test_knows_no_session_of_another_tenant(
    mcp_client, agent, charlie, alice, workspace, other_workspace
):
    await in_thread(AgentFactory, workspace=other_workspace, name="secretary")
    session = await in_thread(SessionFactory, workspace=workspace, user=alice, agent=agent)

    async with mcp_client(charlie) as client:
        arguments = {"message": "Hello", "session_id": str(session.pk)}
        result = await client.call_tool("agent_secretary", arguments)

    assert (result.is_error, "SessionNotFound" in text_of(result)) == (True, True)


async def test_acts_in_the_workspace_that_is_named(mcp_client, agent, alice, other_workspace):
    await in_thread(MembershipFactory, workspace=other_workspace, user=alice, role="user")
    await in_thread(AgentFactory, workspace=other_workspace, name="secretary")

    async with mcp_client(alice, **{"X-Workspace": "other"}) as client:
        assert await names(client) == ["agent_secretary"]


async def test_keeps_callers_apart_that_ask_at_once(mcp_client, agent, alice, charlie, other_workspace):
    await in_thread(AgentFactory, workspace=other_workspace, name="secretary")

    async def listed(caller):
        async with mcp_client(caller) as client:
            return [await names(client) for _ in range(5)]

    mine, theirs = await asyncio.gather(listed(alice), listed(charlie))
    assert (mine, theirs) == ([["agent_assistant"]] * 5, [["agent_secretary"]] * 5)


# the request itself


def test_limits_the_rate_of_calls_and_not_of_the_list(mcp_post, agent, alice, settings):
    rates = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"chat": "1/day"}}
    settings.REST_FRAMEWORK = rates
    call = {"name": "agent_assistant", "arguments": {"message": "Hello"}}
    statuses = [mcp_post(alice, "tools/call", call).status_code for _ in range(2)]
    assert (statuses, mcp_post(alice).status_code) == ([200, 429], 200)


def test_refuses_pages_of_other_origins(mcp_post, agent, alice):
    answer = mcp_post(alice, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, "CORS_ORIGINS" in answer.json()["error"]["message"]) == (403, True)


def test_serves_pages_of_its_own_origin_and_of_listed_ones(server, mcp_post, agent, alice, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://desk.example.com"]
    origins = [server, "https://desk.example.com"]
    assert [mcp_post(alice, headers={"Origin": origin}).status_code for origin in origins] == [200, 200]


def test_refuses_unknown_host_names(mcp_post, agent, alice):
    assert mcp_post(alice, headers={"Host": "rebound.example"}).status_code == 400


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_keeps_no_stream_and_no_session(server, agent, alice, method):
    answer = httpx.request(method, f"{server}/mcp", headers=credentials(alice) | ACCEPT)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"7", b"[]", b'{"jsonrpc": "2.0"}', b"\xff", b"[" * 5000, b'{"a": "\\u0000"}']
)
def test_refuses_what_is_no_message(server, agent, alice, body):
    headers = credentials(alice) | ACCEPT | {"Content-Type": "application/json"}
    answer = httpx.post(f"{server}/mcp", content=body, headers=headers)
    assert 400 <= answer.status_code < 500


def test_refuses_a_body_that_is_too_large(server, agent, alice, settings):
    headers = credentials(alice) | ACCEPT | {"Content-Type": "application/json"}
    answer = httpx.post(f"{server}/mcp", content=b" " * (settings.MAX_REQUEST_BYTES + 1), headers=headers)
    assert answer.status_code == 413


def test_answers_with_the_request_id_of_every_route(mcp_post, agent, alice):
    assert mcp_post(alice, headers={"X-Request-ID": "seen-before"}).headers["X-Request-ID"] == "seen-before"


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
def test_answers_with_and_without_a_slash(server, agent, alice, path):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    answer = httpx.post(f"{server}{path}", json=body, headers=credentials(alice) | ACCEPT)
    assert answer.status_code == 200


def test_names_the_client_that_begins(mcp_post, agent, alice):
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    first, second = (mcp_post(alice, "initialize", hello).headers["Mcp-Session-Id"] for _ in range(2))
    assert first != second
