"""Structured logs: one JSON object per line, with the request's context and without secrets.

    {"timestamp": "2026-11-20T10:00:00.123456Z", "level": "info", "logger": "runs.engine", "message": "ended",
     "request_id": "…", "user_id": "…", "workspace": "acme", "run_id": "…", …}

`log = structlog.get_logger(__name__)`, then `log.info("run ended", seconds=1.5)`. Whatever
`structlog.contextvars.bind_contextvars` holds is on every line, those of libraries included.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
PLAIN = (int, float, type(None), UUID, datetime)
SECRET_NAME = re.compile(
    r"(?:^|[_.-])"
    r"(?:authorization|cookie|credentials?|pass(?:word|wd|phrase)|secrets?|tokens?|tickets?|api[_-]?keys?)$",
    re.IGNORECASE,
)
SECRET_TEXT = re.compile(
    r"""
      (?P<scheme> \b (?: Bearer | Basic) \s+ ) [^\s'",;]+                # an Authorization header's value
    | (?P<name>                                                          # name=value, "name": "value"
        \b (?: [\w-]{0,40} [_-] )? (?: password | passwd | secret | token | ticket | api[_-]?key )
        ["']? \s* [=:] \s* ["']?
      ) [^\s'",;&})]+
    | \b eyJ [\w-]+ \. [\w-]+ \. [\w-]*                                 # a JSON Web Token
    | \b (?: ap | sk | pk | rk ) [_-] [A-Za-z0-9_-]{16,}                 # our API keys and the providers'
    | (?P<user> :// [^\s/:@]* : ) [^\s/@]+ (?= @ )                       # a password in a URL
    """,
    re.IGNORECASE | re.VERBOSE,
)


def redact(value: Any) -> Any:
    """`value` without the secrets that can be told by their name or their form."""
    if isinstance(value, str):
        return SECRET_TEXT.sub(_redacted_match, value)
    if isinstance(value, Mapping):
        return {
            name: REDACTED if _is_secret(str(name), item) else redact(item) for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return value if isinstance(value, PLAIN) else redact(repr(value))


def _redacted_match(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["name"] or match["user"] or ""
    return f"{kept}{REDACTED}"


def _is_secret(name: str, value: object) -> bool:
    """Numbers are spared: `input_tokens=12` is what a log is for."""
    return bool(value) and not isinstance(value, int | float) and SECRET_NAME.search(name) is not None


def _redact_line(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    redacted: EventDict = redact(line)
    return redacted


def _without_request(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Django adds its request to lines about it; written out it shows the query string."""
    line.pop("request", None)
    return line


def _to_json(logger: WrappedLogger, method: str, line: EventDict) -> str:
    return orjson.dumps(line, default=repr, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()


def _safe_to_json(logger: WrappedLogger, method: str, line: EventDict) -> str:
    """The line as JSON. Logging must never fail: what has no JSON form is written as Python shows it."""
    try:
        return _to_json(logger, method, line)
    except TypeError:
        return _to_json(logger, method, {name: ascii(value) for name, value in line.items()})


BEFORE: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
AFTER: list[Processor] = [
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    structlog.processors.EventRenamer("message"),
    _redact_line,
    _safe_to_json,
]


ROOMS = ("accounts", "agentplatform", "agents", "billing", "runs")
TALKATIVE = {
    "procrastinate": "WARNING",
    "httpx": "WARNING",
    "httpx2": "WARNING",
    "mcp": "WARNING",
    # Its errors quote what servers send, secrets among it; whoever asked is told of each.
    "mcp.client": "CRITICAL",
    "uvicorn": "WARNING",
    "django.request": "ERROR",
    # Each step of laying out a picture.
    "rust-sugiyama": "WARNING",
}


def levels(level: str) -> dict[str, str]:
    """The level of each logger where the operator wants `level`; "" is the root's.

    DEBUG is for our own lines: those of libraries show the headers and bodies of requests, secrets and prompts.
    """
    return {"": "INFO" if level == "DEBUG" else level, **dict.fromkeys(ROOMS, level), **TALKATIVE}


def configure() -> None:
    """Sends structlog's loggers through the standard library's, where the handlers and levels are."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *BEFORE,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def json_formatter() -> logging.Formatter:
    """The formatter for `LOGGING`: `{"()": "agentplatform.lib.logs.json_formatter"}`."""
    configure()
    return structlog.stdlib.ProcessorFormatter(
        processors=AFTER, foreign_pre_chain=[*BEFORE, structlog.stdlib.ExtraAdder(), _without_request]
    )
