"""What of it a process has, from its start to its end."""

from __future__ import annotations

import asyncio
from importlib import import_module
from types import ModuleType

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

logger = structlog.get_logger(__name__)

# So long a process that stops waits for a collector that does not answer.
STOP_SECONDS = 5.0
MISSING = (
    "{setting} is set, and the packages for it are not installed:"
    " pip install --no-deps -r requirements-observability.txt"
)


def start() -> None:
    """Traces and reports of errors, where they are asked for; called before the process serves or works.

    Without their settings none of their libraries is imported. Raises ImproperlyConfigured.
    """
    if settings.SENTRY_DSN:
        _extra("SENTRY_DSN", "error_reports").start(settings.SENTRY_DSN)
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        _extra("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry_tracing").start()


async def stop() -> None:
    """Sends what is still to be sent, but not for long."""
    endings = []
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        endings.append(_extra("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry_tracing").stop)
    if settings.SENTRY_DSN:
        endings.append(_extra("SENTRY_DSN", "error_reports").stop)
    for ending in endings:
        try:
            await asyncio.wait_for(asyncio.to_thread(ending), STOP_SECONDS)
        except TimeoutError:
            logger.warning("telemetry_not_sent", reason="Its receiver does not answer.")


def _extra(setting: str, module: str) -> ModuleType:
    try:
        return import_module(f"agentplatform.observability.{module}")
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(MISSING.format(setting=setting)) from error
