"""What of it a process has, from its start to its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import structlog
from django.conf import settings

logger = structlog.get_logger(__name__)

# So long a process that stops waits for a receiver that does not answer.
STOP_SECONDS = 5.0


def start() -> None:
    """Traces and reports of errors, where they are asked for; called before the process serves or works.

    Without their settings none of their libraries is imported.
    """
    for module in _asked_for():
        module.start()


async def stop() -> None:
    """Sends what is still to be sent, but not for long."""
    for module in _asked_for():
        # A process does not wait for such a thread before it ends.
        ending = threading.Thread(target=module.stop, name="telemetry", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, STOP_SECONDS)
        if ending.is_alive():
            logger.warning("telemetry_not_sent", reason="Its receiver does not answer.")


def _asked_for() -> Iterator[ModuleType]:
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        yield import_module("agentplatform.observability.opentelemetry_tracing")
    if settings.SENTRY_DSN:
        yield import_module("agentplatform.observability.error_reports")
