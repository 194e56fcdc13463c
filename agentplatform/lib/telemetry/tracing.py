"""Spans: what a request caused, from its answer through the queue to calls of models and tools.

    with tracing.span("chat gpt-4o", Kind.CLIENT, {"gen_ai.operation.name": "chat"}) as span:
        ...
        span.set("gen_ai.usage.output_tokens", 12)

Nothing happens, and no library is imported, until the roof installs a tracer. Nobody puts content, names of people or
messages of errors into an attribute: traces go to systems that more people read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

Value = str | int | float | bool | list[str]
Attributes = Mapping[str, Value | None]


class Kind(Enum):
    """A span's place between systems, as OpenTelemetry has it."""

    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"
    INTERNAL = "internal"


class Span(Protocol):
    """What is under way."""

    def set(self, name: str, value: Value | None) -> None:
        """Adds an attribute; None adds none."""

    def rename(self, name: str) -> None: ...

    def fail(self, error_type: str) -> None:
        """It has failed, for a reason of few: a class of errors, not a message."""


class Tracer(Protocol):
    """Makes spans. The current one is the context's, as of `contextvars`."""

    def span(
        self, name: str, kind: Kind, attributes: Attributes, parent: str
    ) -> AbstractContextManager[Span]: ...

    def past(
        self, name: str, kind: Kind, attributes: Attributes, parent: str, began_at: datetime
    ) -> None: ...

    def traceparent(self) -> str: ...


class NoSpan:
    """The span of nobody who traces."""

    def set(self, name: str, value: Value | None) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, error_type: str) -> None:
        pass


class NoTracer:
    """The tracer of a process that does not trace."""

    def span(
        self, name: str, kind: Kind, attributes: Attributes, parent: str
    ) -> AbstractContextManager[Span]:
        return _NOTHING

    def past(self, *_: Any) -> None:
        pass

    def traceparent(self) -> str:
        return ""


_NOTHING: AbstractContextManager[Span] = nullcontext(NoSpan())
_tracer: Tracer = NoTracer()


def install(tracer: Tracer | None) -> None:
    """From now on spans are the tracer's; None: nobody's."""
    global _tracer
    _tracer = tracer or NoTracer()


def is_on() -> bool:
    return not isinstance(_tracer, NoTracer)


def span(
    name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None, parent: str = ""
) -> AbstractContextManager[Span]:
    """A span around a block, below the current one, or below a W3C `traceparent` from elsewhere."""
    return _tracer.span(name, kind, attributes or {}, parent)


def past(name: str, kind: Kind, attributes: Attributes, parent: str, began_at: datetime) -> None:
    """A span that ends now, and that nobody was there to begin."""
    _tracer.past(name, kind, attributes, parent, began_at)


def traceparent() -> str:
    """The current span as the W3C header has it; empty where there is none."""
    return _tracer.traceparent()
