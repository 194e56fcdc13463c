"""Calls of MCP tools: what comes back, what becomes of sessions that end, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from asgiref.sync import async_to_sync

from agents.mcp import pool, stdio
from agents.tools.base import ToolFault
from agents.tools.call import call
from tests.agents.http_endpoint import Answer
from tests.agents.mcp_support import (
    PLAIN_SERVER,
    SERVER,
    free_port,
    gone,
    http_process,
    http_server,
    mcp_spec,
    servers_of_this_process,
    stdio_server,
)

pytestmark = pytest.mark.slow

SECRET = uuid.uuid4()
VALUE = "the-credential-7Qx5"


@pytest.fixture(autouse=True)
def _allowed(settings, db):
    settings.MCP_ALLOWED_COMMANDS = [sys.executable]
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]


@pytest_asyncio.fixture(autouse=True)
async def _closed():
    yield
    await pool.close()


@pytest.fixture(scope="module")
def http_port():
    port = free_port()
    with http_process(port):
        yield port


@pytest.fixture(params=["stdio", "http"])
def server(request, http_port):
    """The tests' server with the SDK, over either transport."""
    return stdio_server(SERVER) if request.param == "stdio" else http_server(http_port)


@pytest.fixture
def stdio_only():
    return stdio_server()


def serving() -> str:
    """Python that becomes the tests' server."""
    folder = str(Path(PLAIN_SERVER).parent)
    return (
        f"import asyncio, sys; sys.path.insert(0, {folder!r}); "
        "from plain_mcp_server import serve; asyncio.run(serve())"
    )


async def said(server, tool, /, **arguments):
    return (await call(mcp_spec(server, tool), arguments)).text


async def refusal(server, tool, /, secrets=None, arguments=None, **values) -> ToolFault:
    with pytest.raises(ToolFault) as refused:
        await call(mcp_spec(server, tool, **values), arguments or {}, secrets)
    return refused.value


# --- answers ---


async def test_has_structured_content(server):
    assert (await call(mcp_spec(server, "add"), {"a": 1, "b": 2})).content == {"sum": 3}


async def test_has_the_text_for_the_model(server):
    assert json.loads(await said(server, "add", a=1, b=2)) == {"sum": 3}


async def test_refers_to_what_is_no_text(server):
    assert (await said(server, "media")).splitlines() == [
        "Here they are:",
        "[image, image/png, 12 KB]",
        "[audio, audio/wav, 12 KB]",
        "[resource, file:///readme.md, text/markdown, 9 bytes]",
        "[resource, file:///big.bin, application/octet-stream, 999 bytes]",
    ]


async def test_keeps_references_beside_the_structured_content(http_port):
    content = (await call(mcp_spec(http_server(http_port), "media"), {})).content
    assert content["structured"] == {"count": 4}
    assert content["attachments"][0] == {"type": "image", "mime_type": "image/png", "size": 12345}


async def test_fails_where_the_server_says_that_it_is_an_error(server):
    assert "the warehouse is on fire" in (await refusal(server, "fail")).message


async def test_fails_for_a_tool_that_the_server_does_not_have(server):
    assert "absent" in (await refusal(server, "absent")).message


async def test_fails_where_the_text_is_too_long(server):
    fault = await refusal(server, "huge", arguments={"characters": 1_000_001})
    assert fault.message == "The tool's result is longer than 1,000,000 characters."


async def test_fails_where_a_message_is_too_long(server):
    fault = await refusal(server, "huge", arguments={"characters": 12_000_000})
    assert "failed" in fault.message


async def test_works_after_a_message_that_was_too_long(server):
    await refusal(server, "huge", arguments={"characters": 12_000_000})
    assert json.loads(await said(server, "add", a=1, b=2)) == {"sum": 3}


# --- time ---


async def test_ends_a_call_after_its_time(server):
    fault = await refusal(server, "sleep", arguments={"seconds": 30}, timeout_seconds=1)
    assert (fault.message, fault.retryable) == ("The tool did not finish within 1 seconds.", True)


async def test_goes_on_with_the_session_after_a_call_that_was_too_slow(stdio_only):
    before = await said(stdio_only, "process_id")
    slow = asyncio.create_task(refusal(stdio_only, "sleep", arguments={"seconds": 30}, timeout_seconds=1))
    await asyncio.sleep(0.5)
    await said(stdio_only, "add", a=1, b=2)
    await slow
    assert await said(stdio_only, "process_id") == before


async def test_goes_on_with_a_server_that_is_slow_only(server):
    before = await said(server, "process_id")
    await refusal(server, "sleep", arguments={"seconds": 30}, timeout_seconds=1)
    assert await said(server, "process_id") == before


async def test_closes_a_session_at_once_that_is_being_opened():
    silent = stdio_server("-c", "import time; time.sleep(60)")
    opening = asyncio.create_task(refusal(silent, "add"))
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await pool.close()
    await opening
    assert time.monotonic() - started < 4


async def test_replaces_a_server_that_stands_still(stdio_only):
    before = await said(stdio_only, "process_id")
    await refusal(stdio_only, "stop_reading", timeout_seconds=1)
    assert await said(stdio_only, "process_id") != before


async def test_does_not_wait_for_a_server_that_never_answers():
    silent = stdio_server("-c", "import time; time.sleep(60)", timeout_seconds=1.0)
    fault = await refusal(silent, "add")
    assert "did not answer within 1 seconds" in fault.message


async def test_answers_beside_a_server_that_stands_still(stdio_only):
    await said(stdio_only, "add", a=1, b=2)
    still = asyncio.create_task(refusal(stdio_server(), "stop_reading", timeout_seconds=2))
    await asyncio.sleep(1)
    started = time.monotonic()
    await said(stdio_only, "add", a=1, b=2)
    assert time.monotonic() - started < 1
    await still


# --- sessions ---


async def test_starts_one_process_for_many_calls(stdio_only):
    calls = (said(stdio_only, "process_id") for _ in range(20))
    assert len(set(await asyncio.gather(*calls))) == len(servers_of_this_process()) == 1


async def test_starts_a_process_for_each_version():
    first, second = stdio_server(), stdio_server()
    assert await said(first, "process_id") != await said(second, "process_id")


def test_shares_the_session_between_event_loops(stdio_only):
    first, second = (async_to_sync(said)(stdio_only, "process_id") for _ in range(2))
    assert first == second


async def test_opens_a_session_again_after_its_process_has_died(stdio_only):
    await said(stdio_only, "process_id")
    [process] = servers_of_this_process()
    process.kill()
    process.wait()
    await asyncio.sleep(0.2)
    assert json.loads(await said(stdio_only, "add", a=1, b=2)) == {"sum": 3}


async def test_does_not_repeat_a_call_under_which_the_process_died(stdio_only, tmp_path):
    fault = await refusal(stdio_only, "die", arguments={"marker": str(tmp_path / "calls")})
    assert (tmp_path / "calls").read_text() == "called\n"
    assert (fault.retryable, "whether the call has had its effect" in fault.message) == (False, True)


async def test_repeats_the_call_of_an_idempotent_tool_once(stdio_only, tmp_path):
    await refusal(stdio_only, "die", arguments={"marker": str(tmp_path / "calls")}, idempotent=True)
    assert (tmp_path / "calls").read_text() == "called\n" * 2


@pytest.mark.parametrize("options", [(), ("sessions",)], ids=["without sessions", "with sessions"])
async def test_goes_on_with_a_server_that_was_started_again(options):
    port = free_port()
    server = http_server(port)
    with http_process(port, *options):
        before = await said(server, "process_id")
    with http_process(port, *options):
        assert await said(server, "process_id") != before


async def test_says_that_a_server_cannot_be_reached():
    fault = await refusal(http_server(free_port()), "add")
    assert (fault.retryable, "cannot be reached" in fault.message) == (True, True)


async def test_ends_a_session_that_nobody_uses(settings, stdio_only):
    settings.MCP_IDLE_SECONDS = 1
    await said(stdio_only, "add", a=1, b=2)
    [process] = servers_of_this_process()
    assert gone(process)


async def test_leaves_no_process_behind_when_it_is_closed(stdio_only):
    await said(stdio_only, "add", a=1, b=2)
    [process] = servers_of_this_process()
    await pool.close()
    assert not process.is_running()


async def test_ends_a_process_that_does_not_want_to():
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    stubborn = stdio_server("-c", f"{ignores}\ntry:\n    {serving()}\nfinally:\n    time.sleep(600)")
    process = psutil.Process(int(await said(stubborn, "process_id")))
    await pool.close()
    assert not process.is_running()


async def test_ends_what_the_process_has_started():
    starts = "import subprocess; subprocess.Popen(['sleep', '599'])"
    await said(stdio_server("-c", f"{starts}; {serving()}"), "process_id")
    started = [child for child in psutil.Process().children(recursive=True) if "599" in child.cmdline()]
    await pool.close()
    assert [gone(child) for child in started] == [True]


async def test_opens_a_session_for_whoever_still_waits(stdio_only):
    impatient = asyncio.create_task(said(stdio_only, "add", a=1, b=2))
    patient = asyncio.create_task(said(stdio_only, "add", a=1, b=2))
    await asyncio.sleep(0.1)
    impatient.cancel()
    assert json.loads(await patient) == {"sum": 3}


# --- what may be started and reached, and with what ---


async def test_starts_no_command_that_is_not_allowed(settings, stdio_only):
    settings.MCP_ALLOWED_COMMANDS = ["npx"]
    fault = await refusal(stdio_only, "add")
    assert "MCP_ALLOWED_COMMANDS" in fault.message


async def test_starts_nothing_unless_an_operator_allows_it(settings, stdio_only):
    settings.MCP_ALLOWED_COMMANDS = []
    assert "starts no commands" in (await refusal(stdio_only, "add")).message


async def test_says_what_a_command_has_said_that_ended_at_once():
    fault = await refusal(stdio_server("-c", "import nonsense_nobody_has"), "add")
    assert "No module named 'nonsense_nobody_has'" in fault.message


async def test_hands_arguments_over_without_a_shell(tmp_path):
    await refusal(stdio_server("-c", "raise SystemExit", f"; touch {tmp_path}/made"), "add")
    assert list(tmp_path.iterdir()) == []


async def test_gives_a_server_none_of_the_platforms_variables(stdio_only):
    names = set(
        json.loads(
            (await call(mcp_spec(stdio_only, "variables"), {}))
            .text.replace("\n", '","')
            .join('""')
            .join("[]")
        )
    )
    assert names <= {*stdio.commands.INHERITED, "LC_CTYPE"}


async def test_gives_a_server_its_own_variables():
    assert await said(stdio_server(environment={"REGION": "eu"}), "variable", name="REGION") == "eu"


async def test_gives_a_server_its_secret_variables():
    server = stdio_server(secrets={"TOKEN_LENGTH": SECRET})
    assert (await call(mcp_spec(server, "variables"), {}, {SECRET: VALUE})).text.count("TOKEN_LENGTH") == 1


async def test_blackens_a_secret_that_the_server_quotes():
    server = stdio_server(secrets={"TOKEN": SECRET})
    assert (await call(mcp_spec(server, "variable"), {"name": "TOKEN"}, {SECRET: VALUE})).text == "***"


async def test_sends_secret_headers(http_port):
    server = http_server(http_port, headers={}, secrets={"X-Key": SECRET})
    assert (await call(mcp_spec(server, "add"), {"a": 1, "b": 2}, {SECRET: "letmein"})).content == {"sum": 3}


async def test_says_that_a_secret_is_refused(http_port):
    assert "HTTP 401" in (await refusal(http_server(http_port, headers={}), "add")).message


async def test_says_that_a_secret_is_gone(http_port):
    fault = await refusal(http_server(http_port, secrets={"X-Key": SECRET}), "add")
    assert "'X-Key'" in fault.message


async def test_does_not_connect_to_a_private_address(settings, http_port):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    fault = await refusal(http_server(http_port), "add")
    assert (fault.retryable, "loopback address" in fault.message) == (False, True)


async def test_does_not_follow_a_redirect_to_another_server(http_endpoint, http_port):
    target = {"Location": f"http://127.0.0.1:{http_port}/mcp"}
    http_endpoint.answer = Answer(status=307, headers=target)
    assert "not followed" in (await refusal(http_server(http_endpoint.port), "add")).message


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"x" * 100_000, b'{"jsonrpc": "2.0"}'], ids=lambda body: repr(body[:9])
)
async def test_fails_where_the_server_speaks_something_else(http_endpoint, body):
    http_endpoint.answer = Answer(body=body)
    assert (
        "The MCP server 'testing' failed" in (await refusal(http_server(http_endpoint.port), "add")).message
    )


@pytest.mark.parametrize("body", [VALUE, json.dumps({"jsonrpc": "2.0", "id": VALUE, "of": [VALUE]})])
async def test_keeps_secrets_that_a_server_quotes_out_of_the_log(http_endpoint, caplog, body):
    http_endpoint.answer = Answer(body=body.encode())
    server = http_server(http_endpoint.port, headers={}, secrets={"X-Key": SECRET})
    fault = await refusal(server, "add", secrets={SECRET: VALUE})
    assert VALUE not in fault.message + caplog.text


async def test_passes_over_what_is_no_message():
    chatty = f"print('Welcome!', flush=True); {serving()}"
    server = stdio_server("-c", chatty)
    assert json.loads(await said(server, "add", a=1, b=2)) == {"sum": 3}


async def test_reads_what_a_server_shouts(stdio_only):
    assert await said(stdio_only, "shout", lines=5_000) == "shouted"


async def test_logs_what_a_server_shouts_up_to_a_limit(stdio_only, caplog):
    await said(stdio_only, "shout", lines=1_000)
    await pool.close()
    assert caplog.text.count("mcp_server_said") <= stdio.MOST_LOGGED + 1


def test_leaves_no_process_behind_at_the_end_of_the_program(tmp_path):
    """Nothing is closed; the interpreter just ends."""
    program = """
import asyncio, sys, django; django.setup()
from django.conf import settings; settings.MCP_ALLOWED_COMMANDS = [sys.executable]
from agents.mcp import health; health.note = lambda *arguments: None
from agents.tools.call import call
from tests.agents.mcp_support import mcp_spec, stdio_server
print(asyncio.run(call(mcp_spec(stdio_server(), "process_id"), {})).text)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "agentplatform.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not psutil.pid_exists(int(done.stdout.split()[-1]))
