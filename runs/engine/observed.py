"""What is measured and traced of a run: its attempts, calls of models, calls of tools.

Spans follow OpenTelemetry's conventions for generative AI (`docs/observability.md`). No content: neither messages nor
arguments nor answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import structlog

from agentplatform.lib.telemetry import metrics, tracing
from agentplatform.lib.telemetry.tracing import Kind, Span
from agents.providers.faults import ProviderFault
from agents.providers.observed import CANCELLED, ERROR, OK, PROVIDERS
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


class ModelCall:
    """What a call of a model has come to."""

    def __init__(self, span: Span) -> None:
        self.tokens = Tokens()
        self.first_token: float | None = None
        """Seconds from the call until its first token came, of text, thought or a tool's call."""
        self._span = span

    def began_to_answer(self, seconds: float) -> None:
        self.first_token = seconds
        self._span.set("gen_ai.server.time_to_first_token", seconds)

    def answered(self, tokens: Tokens, finish_reason: str | None) -> None:
        self.tokens = tokens
        self._span.set("gen_ai.usage.input_tokens", tokens.input)
        self._span.set("gen_ai.usage.output_tokens", tokens.output)
        self._span.set("gen_ai.usage.cache_read.input_tokens", tokens.cached or None)
        self._span.set("gen_ai.response.finish_reasons", [finish_reason] if finish_reason else None)


@contextmanager
def model_call(model: ModelSpecification) -> Iterator[ModelCall]:
    """Around one call of a model. A `ProviderFault` is its failure; whatever else ends it has broken it off."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS.get(model.provider, model.provider),
        "gen_ai.request.model": model.model,
        "gen_ai.request.temperature": model.parameters.get("temperature"),
        "gen_ai.request.max_tokens": model.parameters.get("max_tokens"),
        "gen_ai.request.stream": True,
    }
    began, outcome = perf_counter(), CANCELLED
    with tracing.span(f"chat {model.model}", Kind.CLIENT, attributes) as span:
        call = ModelCall(span)
        try:
            yield call
            outcome = OK
        except ProviderFault as fault:
            outcome = fault.error_class
            span.fail(outcome)
            raise
        except asyncio.CancelledError:
            span.fail(CANCELLED)
            raise
        finally:
            tokens, seconds = call.tokens, perf_counter() - began
            metrics.model_answered(model.provider, model.model, outcome, seconds, tokens.input, tokens.output)
            if call.first_token is not None:
                metrics.model_began(model.provider, model.model, call.first_token)


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
