"""Trying a model or a tool out: one real call, its latency, and its result or classified error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from agentplatform.lib.errors import InvalidConfig
from agents.models import ChatModel, Tool, Version
from agents.providers.base import make
from agents.providers.faults import ProviderFault, classify, redact
from agents.specification import (
    ModelSpecification,
    ToolSpecification,
    parse_config,
    parse_model,
    parse_tool,
    secret_values,
)
from agents.tools.base import ToolFault
from agents.tools.call import Secrets, call

PROMPT = "This is a connection test. Answer with one word: ready."


@dataclass(frozen=True, slots=True)
class Trial:
    """How a try went: `result`, or `error` as `{class, message}` in the classes of a failed run."""

    latency_ms: float
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


def try_model(model: ChatModel, prompt: str = PROMPT) -> Trial:
    """Asks the model as it is now. The result has `content` and `usage`."""
    spec = parse_model(_version(model), parse_config({}))
    secrets = secret_values(model.workspace_id, [spec.secret] if spec.secret else [])
    return _timed(_ask, spec, secrets, prompt)


def try_tool(tool: Tool, arguments: Mapping[str, Any]) -> Trial:
    """Calls the tool as it is now. The result has `text` and `content`."""
    spec = parse_tool(_version(tool))
    return _timed(_call, spec, secret_values(tool.workspace_id, spec.secret_headers.values()), arguments)


def _version(instance: ChatModel | Tool) -> Version:
    if instance.version is None:
        raise InvalidConfig(f"{instance.name!r} has no version yet. Save it once.")
    return instance.version


async def _ask(spec: ModelSpecification, secrets: Secrets, prompt: str) -> dict[str, Any]:
    key = secrets[spec.secret] if spec.secret else ""
    try:
        async with asyncio.timeout(settings.AGENT_TIMEOUT_SECONDS):
            message = await make(spec, key).ainvoke(prompt)
    except Exception as error:
        fault = classify(error)
        raise ProviderFault(fault.error_class, redact(fault.message, key)) from error
    return {"content": message.text, "usage": dict(message.usage_metadata or {})}


async def _call(spec: ToolSpecification, secrets: Secrets, arguments: Mapping[str, Any]) -> dict[str, Any]:
    result = await call(spec, arguments, secrets)
    return {"text": result.text, "content": result.content}


def _timed(attempt: Callable[..., Awaitable[dict[str, Any]]], *arguments: Any) -> Trial:
    _release_connection()
    started = time.perf_counter()
    try:
        result = async_to_sync(attempt)(*arguments)
    except ProviderFault as fault:
        return Trial(_since(started), error={"class": fault.error_class, "message": fault.message})
    except ToolFault as fault:
        return Trial(_since(started), error={"class": "tool_error", "message": fault.message})
    return Trial(_since(started), result=result)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _release_connection() -> None:
    """The call may take half a minute; a pooled connection is not kept from others meanwhile."""
    if not connection.in_atomic_block:
        connection.close()
