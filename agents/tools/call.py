"""The one verb of tools: call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio.to_thread

from agents.models import Tool
from agents.specification import ToolSpecification
from agents.tools import functions
from agents.tools.base import ToolFault, ToolResult, result_of
from agents.tools.http import call_http
from agents.tools.schemas import check_arguments

logger = logging.getLogger(__name__)
Secrets = Mapping[uuid.UUID, str]
Caller = Callable[[ToolSpecification, Mapping[str, Any], Secrets, str], Awaitable[ToolResult]]


async def call(
    spec: ToolSpecification, arguments: Mapping[str, Any], secrets: Secrets | None = None, key: str = ""
) -> ToolResult:
    """Calls a tool within its time. Raises ToolFault whatever goes wrong, written for the model to read.

    `secrets` are the values of the spec's secrets by id. `key` is the same for every attempt of one call, so
    that endpoints which know Idempotency-Key do it once.
    """
    check_arguments(arguments_schema(spec), arguments)
    try:
        async with asyncio.timeout(spec.timeout_seconds):
            return await callers[spec.kind](spec, arguments, secrets or {}, key)
    except TimeoutError as error:
        raise ToolFault(
            f"The tool did not finish within {spec.timeout_seconds:g} seconds.", retryable=True
        ) from error


def arguments_schema(spec: ToolSpecification) -> Mapping[str, Any]:
    """The JSON Schema of the tool's arguments; one without any where the tool says nothing."""
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


callers: dict[str, Caller] = {Tool.ToolKind.FUNCTION: _call_function, Tool.ToolKind.HTTP: call_http}
