"""What is measured and traced of a run: its attempts, calls of models, calls of tools.

Spans follow OpenTelemetry's conventions for generative AI (`docs/observability.md`). No content: neither messages nor
arguments nor answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import structlog

from agentplatform.lib.telemetry import metrics, tracing
from agentplatform.lib.telemetry.tracing import Kind, Span
from agents.providers.observed import CANCELLED, ERROR, OK, ModelCall, model_call
from agents.specification import ModelSpecification, ToolSpecification
from billing.ledger import Tokens
from runs.models import Run

# "Datastore" is what they call tools that search what the platform knows.
TOOL_TYPES = {"knowledge": "datastore", "http": "extension", "mcp": "extension"}


@contextmanager
def attempt(run: Run) -> Iterator[Span]:
    """Around an attempt. Its log lines name run, workspace, and the request that has started the run."""
    metrics.taken(run.queued_at, run.attempt_started_at)
    names = {"run_id": str(run.id), "workspace_id": str(run.workspace_id)}
    if run.request_id:
        names["request_id"] = run.request_id
    metrics.runs_in_hand.inc()
    try:
        with structlog.contextvars.bound_contextvars(**names), _traced(run) as span:
            yield span
    finally:
        metrics.runs_in_hand.dec()


@contextmanager
def _traced(run: Run) -> Iterator[Span]:
    kind = "workflow" if run.is_workflow else "agent"
    operation, about = f"invoke_{kind}", {"agentplatform.run.id": str(run.id)}
    if run.queued_at:
        tracing.past("queue", Kind.CONSUMER, about, run.traceparent, run.queued_at)
    attributes = {
        **about,
        "gen_ai.operation.name": operation,
        f"gen_ai.{kind}.name": run.executes,
        "gen_ai.agent.id": str(run.agent_id) if run.agent_id else None,
        "gen_ai.conversation.id": str(run.session_id) if run.session_id else None,
        "agentplatform.run.attempt": run.attempt,
        "agentplatform.workspace.id": str(run.workspace_id),
    }
    with tracing.span(f"{operation} {run.executes}", Kind.INTERNAL, attributes, run.traceparent) as span:
        yield span


class ChatCall:
    """What a call of a chat model has come to."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call

    @property
    def first_token(self) -> float | None:
        return self._call.first_token

    def began_to_answer(self, seconds: float) -> None:
        self._call.began_to_answer(seconds)

    def answered(self, tokens: Tokens, finish_reason: str | None) -> None:
        self._call.input_tokens, self._call.output_tokens = tokens.input, tokens.output
        span = self._call.span
        span.set("gen_ai.usage.input_tokens", tokens.input)
        span.set("gen_ai.usage.output_tokens", tokens.output)
        span.set("gen_ai.usage.cache_read.input_tokens", tokens.cached or None)
        span.set("gen_ai.response.finish_reasons", [finish_reason] if finish_reason else None)


@contextmanager
def chat_call(model: ModelSpecification) -> Iterator[ChatCall]:
    """Around one call of a chat model, as `agents.providers.observed` has it."""
    attributes = {
        "gen_ai.request.temperature": model.parameters.get("temperature"),
        "gen_ai.request.max_tokens": model.parameters.get("max_tokens"),
        "gen_ai.request.stream": True,
    }
    with model_call("chat", model, attributes) as call:
        yield ChatCall(call)


class ToolExecution:
    """What a call of a tool has come to; one that waits for a run of its own has come to nothing yet."""

    def __init__(self, span: Span) -> None:
        self.outcome = CANCELLED
        self._span = span

    def answered(self, status: str) -> None:
        self.outcome = ERROR if status == "error" else OK
        if self.outcome is ERROR:
            self._span.fail("tool_error")


@contextmanager
def tool_call(tool: ToolSpecification | None, call: dict[str, Any]) -> Iterator[ToolExecution]:
    """Around one execution of a tool, or of what a workflow's node asks for (then there is no `tool`)."""
    kind = tool.kind if tool else ""
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call["name"],
        "gen_ai.tool.call.id": call["id"],
        "gen_ai.tool.type": TOOL_TYPES.get(kind, "function"),
        "agentplatform.tool.kind": kind or None,
    }
    began = perf_counter()
    with tracing.span(f"execute_tool {call['name']}", Kind.INTERNAL, attributes) as span:
        execution = ToolExecution(span)
        try:
            yield execution
        finally:
            metrics.tool_answered(kind, execution.outcome, perf_counter() - began)
