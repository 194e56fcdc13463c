"""Calls of MCP clients that are taken back, and those whose server stops."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import httpx
import pytest

from agentplatform.lib.concurrency import in_thread
from runs.live import hub
from runs.models import Status
from tests.runs.mcp_support import ACCEPT, MODES, PATIENCE_SECONDS, credentials, ended, running, until

pytestmark = pytest.mark.django_db(transaction=True)


@MODES
async def test_cancels_the_run_when_the_client_gives_the_call_up(mcp_client, agent_on, alice, mode):
    await in_thread(agent_on, "slow-200", name="writer")

    async with mcp_client(alice, mode) as client:
        call = asyncio.create_task(client.call_tool("agent_writer", {"message": "Hello"}))
        await until(running)
        call.cancel()
        run = await until(ended)

    assert run.status == Status.CANCELLED


async def test_cancels_the_run_when_the_connection_breaks(server, agent_on, alice):
    await in_thread(agent_on, "slow-200", name="writer")
    call = {"name": "agent_writer", "arguments": {"message": "Hello"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}

    async with httpx.AsyncClient(headers=credentials(alice) | ACCEPT) as http:
        async with http.stream("POST", f"{server}/mcp", json=body):
            await until(running)
        run = await until(ended)

    assert (run.status, await in_thread(reason_of, run)) == ("cancelled", "Its MCP client has left.")


async def test_cancels_the_run_by_a_notification_of_its_own_client(server, mcp_post, agent_on, alice):
    await in_thread(agent_on, "slow-200", name="writer")

    run = await call_and_notify(server, mcp_post, alice, request_id=7, session_id="one", cancels=(7, "one"))

    assert (run.status, await in_thread(reason_of, run)) == (
        "cancelled",
        "Its MCP client has cancelled the call.",
    )


@pytest.mark.parametrize("cancels", [(8, "one"), ("7", "one"), (7, "two"), (7, "")], ids=str)
async def test_cancels_no_other_call(server, mcp_post, agent_on, alice, cancels):
    await in_thread(agent_on, "slow-8", name="writer")

    run = await call_and_notify(server, mcp_post, alice, request_id=7, session_id="one", cancels=cancels)

    assert run.status == Status.COMPLETED


async def test_cancels_no_call_of_somebody_else(server, mcp_post, agent_on, alice, bob):
    await in_thread(agent_on, "slow-8", name="writer")

    run = await call_and_notify(server, mcp_post, bob, 7, "one", cancels=(7, "one"), canceller=alice)

    assert run.status == Status.COMPLETED


async def call_and_notify(server, mcp_post, caller, request_id, session_id, cancels, canceller=None):
    """The run of a call, at its end: while it goes, a notification in another request cancels some call."""
    call = {"name": "agent_writer", "arguments": {"message": "Hello"}}
    calling = asyncio.create_task(
        asyncio.to_thread(
            mcp_post, caller, "tools/call", call, headers={"Mcp-Session-Id": session_id}, id=request_id
        )
    )
    await until(running)
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": cancels[0]}}
    headers = credentials(canceller or caller) | ACCEPT | {"Mcp-Session-Id": cancels[1]}
    async with httpx.AsyncClient(headers=headers) as http:
        assert (await http.post(f"{server}/mcp", json=note)).status_code == 202
    run = await until(ended)
    await calling
    return run


def reason_of(run) -> str:
    return run.events.get(type="run_cancelled").data["reason"]


def test_answers_a_call_whose_server_stops(lent_platform, mcp_post, agent_on, alice):
    """What every follower is told at SIGTERM, without the signal: the platform goes on for other tests."""
    agent_on("slow-20", name="writer")
    call = {"name": "agent_writer", "arguments": {"message": "Hello"}}
    answers = []

    async def drain():
        hub().drain()
        await asyncio.sleep(0.2)
        hub().draining = False

    thread = threading.Thread(target=lambda: answers.append(mcp_post(alice, "tools/call", call)))
    thread.start()
    while not running():
        time.sleep(0.02)
    lent_platform.call(drain())
    thread.join(timeout=PATIENCE_SECONDS)

    message = json.loads(answers[0].text.split("data: ")[1])
    assert "goes on" in message["result"]["content"][0]["text"]
