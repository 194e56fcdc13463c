"""Traces: what a real OTLP receiver gets of a request, and of the run that it has started, from web and worker."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from accounts.tokens import AccessToken
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.logs import json_formatter
from agentplatform.lib.telemetry import tracing
from agentplatform.lib.telemetry.tracing import Kind
from agentplatform.observability import opentelemetry_tracing
from agentplatform.observability import process as observability
from agents.models import Agent, Tool
from agents.tools.functions import function, registry
from runs.models import Run
from tests.agents.http_endpoint import Answer, HttpEndpoint
from tests.engine.support import finished, let_go, start
from tests.factories import ToolFactory
from tests.processes import web_process, worker_process

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 30
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET_QUESTION = 'call calculator {"expression": "6 * 7001"}'


class Collector:
    """What a receiver of OTLP over HTTP has been sent."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self.endpoint = endpoint
        endpoint.answer = Answer(body=b"", content_type="application/x-protobuf")

    @property
    def spans(self) -> list[Span]:
        requests = [
            ExportTraceServiceRequest.FromString(asked.body)
            for asked in list(self.endpoint.asked)
            if asked.path == "/v1/traces"
        ]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def until(self, is_complete: Callable[[list[Span]], bool]) -> list[Span]:
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_complete(spans := self.spans):
            assert time.monotonic() < until, [span.name for span in spans]
            time.sleep(0.05)
        return spans


@pytest.fixture
def collector() -> Iterator[Collector]:
    with HttpEndpoint() as endpoint:
        yield Collector(endpoint)


@pytest.fixture
def broken_tool(workspace) -> Iterator[Tool]:
    """A function that fails as none should."""

    @function("broken", "Fails.")
    def broken() -> str:
        raise RuntimeError("password=hunter22")

    yield ToolFactory(workspace=workspace, name="broken", function="broken")
    del registry["broken"]


@pytest.fixture
def log() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """`log()`: the lines that this process has written to its log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def agent(workspace, agent_on) -> Agent:
    return agent_on("text", name="accountant", tools=[ToolFactory(workspace=workspace, name="calculator")])


def attributes(span: Span) -> dict[str, Any]:
    found = {}
    for attribute in span.attributes:
        value = attribute.value
        kind = value.WhichOneof("value")
        found[attribute.key] = (
            [item.string_value for item in value.array_value.values]
            if kind == "array_value"
            else getattr(value, kind)
        )
    return found


def ask(web: str, agent: Agent, alice, message: str = SECRET_QUESTION) -> httpx.Response:
    return httpx.post(
        f"{web}/api/v1/runs",
        json={"agent_id": str(agent.pk), "input": {"messages": [{"role": "user", "content": message}]}},
        headers={
            "Authorization": f"Bearer {AccessToken.for_user(alice)}",
            "traceparent": f"00-{TRACE}-{CALLER}-01",
            "X-Request-ID": "request-of-alice",
        },
        timeout=30,
    )


@pytest.mark.slow
def test_is_one_trace_from_the_request_through_the_queue_to_model_and_tool(collector, agent, alice):
    exporting = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with web_process(**exporting) as web, worker_process(**exporting):
        answer = ask(web, agent, alice)
        assert answer.status_code == 202, answer.text
        spans = collector.until(lambda spans: any(span.name.startswith("invoke_agent") for span in spans))
        spans = collector.until(lambda spans: any(span.name.startswith("POST") for span in spans))

    by_name: dict[str, list[Span]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    [request] = by_name["POST /api/v1/runs"]
    [queue], [invoked] = by_name["queue"], by_name["invoke_agent accountant"]
    chats, [tool] = by_name["chat text"], by_name["execute_tool calculator"]

    # one trace, which began with the caller
    assert {span.trace_id.hex() for span in (request, queue, invoked, tool, *chats)} == {TRACE}
    assert request.parent_span_id.hex() == CALLER
    assert {span.parent_span_id for span in (queue, invoked)} == {request.span_id}
    assert {span.parent_span_id for span in (tool, *chats)} == {invoked.span_id}
    assert queue.start_time_unix_nano < queue.end_time_unix_nano <= invoked.end_time_unix_nano

    # the conventions for HTTP and for generative AI
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/runs",
        "http.response.status_code": 202,
        "url.scheme": "http",
        "agentplatform.request.id": "request-of-alice",
    }
    run = Run.objects.get()
    assert attributes(invoked) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "accountant",
        "gen_ai.agent.id": str(agent.pk),
        "agentplatform.run.id": str(run.pk),
        "agentplatform.run.attempt": 1,
        "agentplatform.workspace.id": str(run.workspace_id),
    }
    assert (
        attributes(chats[0]).items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "text",
            "gen_ai.response.finish_reasons": ["tool_calls"],
        }.items()
    )
    assert attributes(chats[0])["gen_ai.usage.input_tokens"] > 0
    # also of an answer that is nothing but a tool's call
    assert all(0 < attributes(chat)["gen_ai.server.time_to_first_token"] < 30 for chat in chats)
    steps = Run.objects.get().steps.filter(type="model")
    assert all(0 < step.metrics["time_to_first_token"] <= step.metrics["duration"] for step in steps)
    assert (
        attributes(tool).items()
        >= {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "calculator",
            "gen_ai.tool.type": "function",
        }.items()
    )

    # and nothing that was said
    assert not any(b"7001" in asked.body or b"42006" in asked.body for asked in collector.endpoint.asked)


@pytest.fixture
def exporting(collector, monkeypatch) -> Iterator[None]:
    """This process exports its traces."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.url)
    opentelemetry_tracing.start()
    yield
    opentelemetry_tracing.stop()


async def test_says_what_has_failed_without_its_message(exporting, collector, agent_on, worker, alice):
    agent = await in_thread(agent_on, "error-400", name="broken")
    await finished(await start(alice, agent, SECRET_QUESTION))
    await let_go(worker)
    await in_thread(opentelemetry_tracing.stop)
    spans = collector.spans

    failed = [span for span in spans if span.status.code == Status.STATUS_CODE_ERROR]
    assert {span.name for span in failed} == {"chat error-400", "invoke_agent broken"}
    assert {attributes(span)["error.type"] for span in failed} == {"provider_rejected"}
    assert {span.status.message for span in failed} == {""}
    assert not [event for span in spans for event in span.events]


async def test_takes_the_request_and_the_trace_along_to_the_workers_log(
    exporting, agent_on, broken_tool, worker, alice, log
):
    agent = await in_thread(agent_on, "text", tools=[broken_tool])
    with (
        structlog.contextvars.bound_contextvars(request_id="request-of-alice"),
        tracing.span("request", Kind.SERVER, parent=f"00-{TRACE}-{CALLER}-01"),
    ):
        run = await start(alice, agent, "call broken {}")
    await finished(run)

    [line] = [line for line in log() if line["message"] == "tool function failed"]
    ids = {name: line.get(name) for name in ("request_id", "run_id", "workspace_id", "trace_id")}
    assert ids == {
        "request_id": "request-of-alice",
        "run_id": str(run.pk),
        "workspace_id": str(run.workspace_id),
        "trace_id": TRACE,
    }


async def test_goes_on_where_nobody_receives(agent, worker, alice, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    opentelemetry_tracing.start()
    try:
        assert (await finished(await start(alice, agent))).status == "completed"
    finally:
        await in_thread(opentelemetry_tracing.stop)


async def test_ends_though_the_receiver_does_not_answer(exporting, collector, settings, monkeypatch, caplog):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = collector.endpoint.url
    monkeypatch.setattr(observability, "STOP_SECONDS", 0.1)
    collector.endpoint.answer = Answer(hang=True)
    with tracing.span("request"):
        pass
    await observability.stop()

    assert "telemetry_not_sent" in caplog.text


@pytest.mark.parametrize(
    "sent", ["", "nonsense", f"00-{TRACE}-{CALLER}", f"00-{'0' * 32}-{CALLER}-01", "00-" + "z" * 52]
)
async def test_begins_a_trace_of_its_own_where_the_callers_is_none(exporting, sent):
    with tracing.span("request", Kind.SERVER, parent=sent):
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", tracing.traceparent())
        assert TRACE not in tracing.traceparent()


async def test_keeps_nothing_where_it_is_off(agent, worker, alice):
    run = await finished(await start(alice, agent))

    assert (run.traceparent, tracing.is_on()) == ("", False)
