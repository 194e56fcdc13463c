"""What is measured and traced of calls of embedding models. No content."""

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


class EmbeddingsCall:
    """What a call of an embedding model has come to."""

    def __init__(self, span: Span) -> None:
        self.tokens = 0
        self._span = span

    def answered(self, usage: Mapping[str, Any]) -> None:
        """`usage` is as LangChain has it; empty where the endpoint says nothing."""
        self.tokens = int(usage.get("input_tokens") or 0)
        self._span.set("gen_ai.usage.input_tokens", self.tokens or None)


@contextmanager
def embeddings_call(model: ModelSpecification) -> Iterator[EmbeddingsCall]:
    """Around one call. A `ProviderFault` is its failure; whatever else ends it has broken it off."""
    attributes = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": PROVIDERS.get(model.provider, model.provider),
        "gen_ai.request.model": model.model,
    }
    began, outcome = perf_counter(), CANCELLED
    with tracing.span(f"embeddings {model.model}", Kind.CLIENT, attributes) as span:
        call = EmbeddingsCall(span)
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
            metrics.model_answered(model.provider, model.model, outcome, perf_counter() - began, call.tokens)
