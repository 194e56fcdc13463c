"""A span around each request; among the middleware only where traces are exported."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agentplatform.lib.telemetry import metrics, tracing
from agentplatform.lib.telemetry.tracing import Kind, Span
from agentplatform.middleware import Around, route_of


class TracingMiddleware(Around):
    """The span of a request goes on with the trace of who sends it (`traceparent`)."""

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self._call_async(request)
        with _span(request) as span:
            response: HttpResponseBase = self.get_response(request)
            _complete(span, request, response)
        return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with _span(request) as span:
            response: HttpResponseBase = await self.get_response(request)
            _complete(span, request, response)
        return response


def _span(request: HttpRequest) -> Any:
    attributes = {
        "http.request.method": _method(request),
        "url.scheme": request.scheme,
        "agentplatform.request.id": getattr(request, "request_id", None),
    }
    return tracing.span(_method(request), Kind.SERVER, attributes, request.headers.get("traceparent", ""))


def _complete(span: Span, request: HttpRequest, response: HttpResponseBase) -> None:
    """By its route only: paths and queries may name people."""
    if route := route_of(request):
        span.rename(f"{_method(request)} {route}")
        span.set("http.route", route)
    span.set("http.response.status_code", response.status_code)
    if response.status_code >= 500:
        span.fail(str(response.status_code))


def _method(request: HttpRequest) -> str:
    return str(request.method) if request.method in metrics.METHODS else "_OTHER"
