"""Reports of errors: what a receiver of Sentry's protocol gets, and what never leaves."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from agentplatform import asgi  # noqa: F401 (it sets Django up, and with it the log, once more)
from agentplatform.lib.concurrency import in_thread
from agentplatform.observability import error_reports
from tests.agents.http_endpoint import Answer, HttpEndpoint
from tests.engine.support import finished, start
from tests.processes import PROJECT

SECRET = "sk-proj-abcdefghijklmnopqrstuvwx"
Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def receiver() -> Iterator[HttpEndpoint]:
    with HttpEndpoint() as endpoint:
        endpoint.answer = Answer(body=b"{}")
        yield endpoint


@pytest.fixture
def reported(receiver, settings) -> Iterator[Events]:
    """Reports are on; `reported()` ends them and answers the events that were received."""
    settings.SENTRY_DSN = f"http://public@127.0.0.1:{receiver.port}/1"
    handler = error_reports.Reporter(logging.ERROR)
    error_reports.start()
    logging.getLogger().addHandler(handler)

    def events() -> list[dict[str, Any]]:
        error_reports.stop()
        return [event for asked in receiver.asked for event in events_in(asked.body)]

    yield events
    logging.getLogger().removeHandler(handler)
    error_reports.stop()


def events_in(envelope: bytes) -> list[dict[str, Any]]:
    """Of an envelope: a header, then items, each a header and a payload, in lines."""
    text = gzip.decompress(envelope) if envelope.startswith(b"\x1f\x8b") else envelope
    lines = [json.loads(line) for line in text.splitlines() if line]
    pairs = zip(lines[1::2], lines[2::2], strict=False)
    return [payload for head, payload in pairs if head.get("type") == "event"]


def fail() -> None:
    prompt = f"Alice's question, with {SECRET}"
    raise ValueError(f"no number: {prompt}")


def test_says_what_has_failed_and_where(reported):
    try:
        fail()
    except ValueError:
        structlog.get_logger("runs.engine").exception("run_failed_unexpectedly")
    [event] = reported()
    [error] = event["exception"]["values"]

    assert (event["level"], event["logger"]) == ("error", "runs.engine")
    assert event["logentry"]["message"] == "run_failed_unexpectedly"
    assert (error["type"], error["stacktrace"]["frames"][-1]["function"]) == ("ValueError", "fail")


def test_names_the_ids_that_find_it_in_the_log(reported):
    with structlog.contextvars.bound_contextvars(
        request_id="r1", run_id="run1", workspace_id="w1", workspace="acme", user_id="u1"
    ):
        structlog.get_logger("runs.engine").error("lost")
    [event] = reported()

    assert event["tags"] == {"request_id": "r1", "run_id": "run1", "workspace_id": "w1"}


def test_sends_no_secret_no_content_and_no_person(reported, receiver):
    structlog.contextvars.bind_contextvars(workspace="acme", user_id="u1")
    try:
        fail()
    except ValueError as error:
        structlog.get_logger("agents").error("failed", exc_info=error, prompt="Alice's question", key=SECRET)
        logging.getLogger("library").exception("could not send %s to %s", SECRET, "alice@example.com")
    structlog.contextvars.clear_contextvars()
    events = reported()
    sent = json.dumps(events)

    assert len(events) >= 1
    assert not [
        word for word in (SECRET, "Alice's", "alice@", "acme", '"u1"') if word in sent.replace("\\u0027", "'")
    ]
    assert not [
        event for event in events if event.keys() & {"user", "request", "extra", "breadcrumbs", "modules"}
    ]


def test_reports_a_fault_of_the_api_once(reported, api, alice, monkeypatch):
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"password={SECRET}")

    monkeypatch.setattr("agents.api.views.AgentViewSet.list", broken)
    answer = api(alice).get("/agents?search=private")
    [event] = reported()

    assert answer.status_code == 500
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert event["tags"]["request_id"] == answer.headers["X-Request-ID"]
    assert not [word for word in (SECRET, "private", "alice", "Bearer") if word in json.dumps(event)]


@pytest.mark.django_db(transaction=True)
async def test_reports_a_run_that_fails_by_a_fault_of_ours(reported, agent_on, worker, alice, monkeypatch):
    agent = await in_thread(agent_on, "text")

    def broken(*_: Any) -> None:
        raise RuntimeError("Alice's question")

    monkeypatch.setattr("runs.engine.ends.outcome", broken)
    run = await finished(await start(alice, agent))
    [event] = [event for event in await in_thread(reported) if event["logger"] == "runs.engine.executor"]

    assert (run.status, event["tags"]["run_id"]) == ("failed", str(run.pk))
    assert "Alice" not in json.dumps(event)


def test_reports_nothing_that_is_no_error(reported):
    structlog.get_logger("runs").warning("slow")
    structlog.get_logger("agentplatform.request").error("GET /api/v1/agents 500", status_code=500)

    assert reported() == []


def test_harms_nobody_where_nobody_receives(settings):
    settings.SENTRY_DSN = "http://public@127.0.0.1:9/1"
    error_reports.start()
    error_reports.Reporter().handle(logging.makeLogRecord({"name": "runs", "levelno": logging.ERROR}))
    error_reports.stop()


@pytest.mark.slow
def test_is_on_in_a_process_with_a_dsn(receiver):
    code = "import logging, django; django.setup()\n" + (
        "from agentplatform.observability import process\nimport asyncio\nprocess.start()\n"
        "logging.getLogger('runs').error('lost')\nasyncio.run(process.stop())"
    )
    dsn = f"http://public@127.0.0.1:{receiver.port}/1"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "agentplatform.settings", "SENTRY_DSN": dsn}
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, check=True)

    [event] = [event for asked in receiver.asked for event in events_in(asked.body)]
    assert (event["logger"], event["environment"]) == ("runs", "test")
