"""What is measured and traced of calls of models, of whatever kind. No content."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from agentplatform.lib.telemetry import metrics, tracing
from agentplatform.lib.telemetry.tracing import Kind, Span
from agents.providers.faults import ProviderFault
from agents.specification import ModelSpecification

OK, ERROR, CANCELLED = "ok", "error", "cancelled"
# As the conventions of OpenTelemetry call them; any other provider goes by our own name.
PROVIDERS = {"google": "gcp.gemini"}


class ModelCall:
    """What a call of a model has come to. Whoever makes it fills in the tokens."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.input_tokens = self.output_tokens = 0
        self.first_token: float | None = None
        """Seconds from the call until its first token came, of text, thought or a tool's call."""

    def began_to_answer(self, seconds: float) -> None:
        self.first_token = seconds
        self.span.set("gen_ai.server.time_to_first_token", seconds)


@contextmanager
def model_call(
    operation: str, model: ModelSpecification, attributes: Mapping[str, Any] | None = None
) -> Iterator[ModelCall]:
    """Around one call. A `ProviderFault` is its failure; whatever else ends it has broken it off."""
    about = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDERS.get(model.provider, model.provider),
        "gen_ai.request.model": model.model,
        **(attributes or {}),
    }
    began, outcome = perf_counter(), CANCELLED
    with tracing.span(f"{operation} {model.model}", Kind.CLIENT, about) as span:
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
            seconds, tokens = perf_counter() - began, (call.input_tokens, call.output_tokens)
            metrics.model_answered(model.provider, model.model, outcome, seconds, *tokens)
            if call.first_token is not None:
                metrics.model_began(model.provider, model.model, call.first_token)


class EmbeddingsCall:
    """What a call of an embedding model has come to."""

    def __init__(self, call: ModelCall) -> None:
        self._call = call

    def answered(self, usage: Mapping[str, Any]) -> None:
        """`usage` is as LangChain has it; empty where the endpoint says nothing."""
        self._call.input_tokens = int(usage.get("input_tokens") or 0)
        self._call.span.set("gen_ai.usage.input_tokens", self._call.input_tokens or None)


@contextmanager
def embeddings_call(model: ModelSpecification) -> Iterator[EmbeddingsCall]:
    """Around one call of an embedding model."""
    with model_call("embeddings", model) as call:
        yield EmbeddingsCall(call)
