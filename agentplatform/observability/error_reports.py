"""Errors, sent to Sentry or what speaks its protocol. Imported only where SENTRY_DSN is set.

What is logged as an error is reported: the kinds of exceptions and where in the code they came from, with the ids that
find the line in the log. Messages of exceptions are not, because they quote what people have written, rows of the
database and secrets; neither are variables, requests, users, and names of workspaces.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import sentry_sdk
import structlog
from django.conf import settings
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import event_from_exception

from agentplatform.lib.logs import redact

FLUSH_SECONDS = 3.0
LONGEST_MESSAGE = 200
# Ids only.
TAGS = ("request_id", "run_id", "workspace_id", "trace_id")
NOT_SENT = "[in the log]"
# One line per request says how it was answered; what went wrong has a line of its own.
REQUESTS = "agentplatform.request"
# What sending an event says of itself.
PASSED_OVER = ("sentry_sdk", "urllib3")
# What an event may have beside its exceptions.
KEPT = frozenset(
    {
        *("event_id", "timestamp", "platform", "sdk", "level", "logger"),
        *("release", "environment", "server_name", "tags", "logentry", "exception"),
    }
)


def start() -> None:
    """Once in a process; a second time changes nothing."""
    if sentry_sdk.is_initialized():
        return
    sentry_sdk.init(
        settings.SENTRY_DSN,
        release=settings.VERSION,
        environment=settings.ENVIRONMENT,
        # Those that come by themselves read requests, prompts and answers.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[DedupeIntegration(), ExcepthookIntegration()],
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        before_send=without_content,
    )


def stop() -> None:
    """Sends what is still to be sent."""
    sentry_sdk.get_client().close(timeout=FLUSH_SECONDS)
    sentry_sdk.get_global_scope().set_client(None)


class Reporter(logging.Handler):
    """Reports what is logged as an error; among the handlers of LOGGING. Before `start` it reports nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(PASSED_OVER):
            return
        try:
            error = _error_of(record)
            if error is not None or record.name != REQUESTS:
                sentry_sdk.capture_event(*_event(record, error))
        except Exception:
            self.handleError(record)


def _event(record: logging.LogRecord, error: BaseException | None) -> tuple[Event, Hint]:
    event: Event = {}
    hint: Hint = {}
    if error is not None:
        options = sentry_sdk.get_client().options
        mechanism = {"type": "logging", "handled": True}
        event, hint = event_from_exception(error, client_options=options, mechanism=mechanism)
    event["level"] = "fatal" if record.levelno >= logging.CRITICAL else "error"
    event["logger"] = record.name
    event["logentry"] = {"message": _message(record)}
    known = record.msg if isinstance(record.msg, dict) else structlog.contextvars.get_contextvars()
    event["tags"] = {name: str(known[name]) for name in TAGS if known.get(name)}
    return event, hint


def _error_of(record: logging.LogRecord) -> BaseException | None:
    """As the standard library has it, or as structlog does."""
    told: Any = record.exc_info or (record.msg.get("exc_info") if isinstance(record.msg, dict) else None)
    if told is True:
        told = sys.exc_info()
    return told[1] if isinstance(told, tuple) else told or None


def _message(record: logging.LogRecord) -> str:
    """Our own lines say what has happened, and of what in fields; others put both into one text."""
    text = record.msg.get("event", "") if isinstance(record.msg, dict) else record.name
    return str(redact(str(text)))[:LONGEST_MESSAGE]


def without_content(event: Event, hint: Hint) -> Event | None:
    """The last look at an event before it leaves: whatever has made it, only what is known to be harmless goes."""
    kept: Any = {name: value for name, value in event.items() if name in KEPT}
    for error in kept.get("exception", {}).get("values", ()):
        error["value"] = NOT_SENT
        error.pop("mechanism", None)
        for frame in error.get("stacktrace", {}).get("frames", ()):
            frame.pop("vars", None)
    return cast(Event, kept)
