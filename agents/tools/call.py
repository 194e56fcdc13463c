"""The one verb of tools: call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio.to_thread

from agents.models import Tool
from agents.specification import ToolSpecification
from agents.tools import functions
from agents.tools.base import ToolFault, ToolResult, result_of
from agents.tools.http import call_http
from agents.tools.knowledge import search_knowledge
from agents.tools.mcp import call_mcp
from agents.tools.schemas import MESSAGE_SCHEMA, QUERY_SCHEMA, check_arguments

logger = logging.getLogger(__name__)
Secrets = Mapping[uuid.UUID, str]
Caller = Callable[[ToolSpecification, Mapping[str, Any], Secrets, str], Awaitable[ToolResult]]

call_key: ContextVar[str] = ContextVar("call_key", default="")
"""The key of the call that is being made. A graph calls its tools by itself, so whoever watches over its calls
sets it around them; empty: the call has none."""


async def call(
    spec: ToolSpecification, arguments: Mapping[str, Any], secrets: Secrets | None = None, key: str = ""
) -> ToolResult:
    """Calls a tool within its time. Raises ToolFault whatever goes wrong, written for the model to read.

    `secrets` are the values of the spec's secrets by id. `key` is the same for every attempt of one call, so
    that endpoints which know Idempotency-Key do it once. Another agent is asked by a run, never here.
    """
    check_arguments(arguments_schema(spec), arguments)
    caller = callers.get(spec.kind)
    if caller is None:
        raise ToolFault(
            f"The tool {spec.name!r} asks an agent, as a part of a run. To try it, run that agent."
        )
    try:
        async with asyncio.timeout(spec.timeout_seconds):
            return await caller(spec, arguments, secrets or {}, key)
    except TimeoutError as error:
        raise ToolFault(
            f"The tool did not finish within {spec.timeout_seconds:g} seconds.", retryable=True
        ) from error


def arguments_schema(spec: ToolSpecification) -> Mapping[str, Any]:
    """The JSON Schema of the tool's arguments; one without any where the tool says nothing."""
    if spec.kind == Tool.ToolKind.AGENT:
        return MESSAGE_SCHEMA
    if spec.kind == Tool.ToolKind.KNOWLEDGE:
        return QUERY_SCHEMA
    return spec.arguments_schema or {"type": "object", "properties": {}}


async def _call_function(
    spec: ToolSpecification, arguments: Mapping[str, Any], secrets: Secrets, key: str
) -> ToolResult:
    registered = functions.registry.get(spec.function)
    if registered is None:
        raise ToolFault(f"There is no function {spec.function!r} in this installation.")
    body = partial(registered.body, **arguments)
    try:
        if inspect.iscoroutinefunction(registered.body):
            return result_of(await body())
        return result_of(await anyio.to_thread.run_sync(body, abandon_on_cancel=True))
    except (ToolFault, TimeoutError):
        raise
    except Exception as error:
        logger.exception("tool function failed", extra={"tool": spec.name, "function": spec.function})
        raise ToolFault(f"The function {spec.function!r} failed ({type(error).__name__}).") from error


callers: dict[str, Caller] = {
    Tool.ToolKind.FUNCTION: _call_function,
    Tool.ToolKind.HTTP: call_http,
    Tool.ToolKind.MCP: call_mcp,
    Tool.ToolKind.KNOWLEDGE: search_knowledge,
}
