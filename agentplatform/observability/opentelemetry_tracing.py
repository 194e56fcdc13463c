"""Traces by OpenTelemetry, sent over OTLP/HTTP. Imported only where OTEL_EXPORTER_OTLP_ENDPOINT is set.

The SDK reads its other settings itself from the environment: OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and so on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from django.conf import settings
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agentplatform.lib.telemetry import tracing
from agentplatform.lib.telemetry.tracing import Attributes, Kind, Value

TRACEPARENT = "traceparent"
VALID = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
KINDS = {kind: trace.SpanKind[kind.name] for kind in Kind}
_propagator = TraceContextTextMapPropagator()
_provider: TracerProvider | None = None


def start() -> None:
    """Once in a process; a second time changes nothing."""
    global _provider
    if _provider is not None:
        return
    resource = Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME") or settings.APP_NAME,
            "service.version": settings.VERSION,
            "deployment.environment.name": settings.ENVIRONMENT,
        }
    )
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracing.install(OpenTelemetryTracer(_provider.get_tracer("agentplatform", settings.VERSION)))


def stop() -> None:
    """Sends what has ended, and traces no more."""
    global _provider
    tracing.install(None)
    provider, _provider = _provider, None
    if provider is not None:
        provider.shutdown()


class OpenTelemetrySpan:
    """A `tracing.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, name: str, value: Value | None) -> None:
        if value is not None:
            self._span.set_attribute(name, value)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        # Without a description: messages of errors quote what people have written.
        self._span.set_status(trace.StatusCode.ERROR)


class OpenTelemetryTracer:
    """A `tracing.Tracer`. While a span is current, log lines name its trace."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes, parent: str) -> Iterator[OpenTelemetrySpan]:
        span = self._tracer.start_span(name, _above(parent), KINDS[kind], _known(attributes))
        number = trace.format_trace_id(span.get_span_context().trace_id)
        with (
            trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False),
            structlog.contextvars.bound_contextvars(trace_id=number),
        ):
            yield OpenTelemetrySpan(span)

    def past(self, name: str, kind: Kind, attributes: Attributes, parent: str, began_at: datetime) -> None:
        began = int(began_at.timestamp() * 1_000_000_000)
        span = self._tracer.start_span(
            name, _above(parent), KINDS[kind], _known(attributes), start_time=began
        )
        span.end()

    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get(TRACEPARENT, "")


def _above(parent: str) -> Context | None:
    """The context of a `traceparent`; None, the current one, where it is none."""
    if not VALID.match(parent):
        return None
    return _propagator.extract({TRACEPARENT: parent}, Context())


def _known(attributes: Attributes) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
