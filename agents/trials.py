"""Trying a model or a tool out: one real call, its latency, and its result or classified error.

A model's call costs money, so `agents.metering` accounts for it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import InvalidConfig
from agents.metering import PaidCall, Payer, Spent, open_call
from agents.models import ChatModel, Configuration, Tool, Version
from agents.pinned import parse_config, parse_model, parse_tool, secret_values
from agents.providers.base import EMBEDDING, ChatModelClient, find, make
from agents.providers.embeddings import embed
from agents.providers.faults import ProviderFault, classify, redact
from agents.specification import ModelSpecification, ToolSpecification
from agents.tools.base import ToolFault
from agents.tools.call import Secrets, call
from agents.unsaved import Draft

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


def try_model(model: ChatModel, actor: Actor, prompt: str = PROMPT, draft: Draft | None = None) -> Trial:
    """Asks the model as it is now, or as a `draft` of it has it, for `actor`. The result has `content` and `usage`; of
    one that embeds, the number of `dimensions` and `usage`.
    """
    spec = parse_model(draft.version if draft else _version(model), parse_config({}))
    secrets = _secrets(model, [spec.secret] if spec.secret else [], draft)
    key = secrets[spec.secret] if spec.secret else find(spec.provider).own_key(spec.base_url)
    attempt: Callable[[], Awaitable[dict[str, Any]]]
    if spec.purpose == EMBEDDING:
        attempt = partial(_embed, spec, key, prompt)
    else:
        try:
            attempt = partial(_ask, make(spec, key), key, prompt)
        except Exception as error:
            return _failed(_safe(error, key), latency_ms=0.0)
    payer = Payer(actor.user_id, actor.username, actor.api_key_id, actor.api_key_name)
    settle = open_call(PaidCall(model.workspace_id, payer, spec, len(prompt)))
    trial = _timed(attempt)
    result = trial.result or {}
    settle(Spent(trial.ok, result.get("usage", {}), len(result.get("content", ""))))
    audit.record(Action.TESTED, audit.thing(model), actor=actor, after={"ok": trial.ok})
    return trial


def try_tool(tool: Tool, arguments: Mapping[str, Any], draft: Draft | None = None) -> Trial:
    """Calls the tool as it is now, or as a `draft` of it has it. The result has `text` and `content`."""
    server = _version(tool.mcp_server) if tool.mcp_server else None
    spec = parse_tool(draft.version if draft else _version(tool), server)
    trial = _timed(_call, spec, _secrets(tool, spec.secret_ids, draft), arguments)
    audit.record(Action.TESTED, audit.thing(tool), after={"ok": trial.ok})
    return trial


def _secrets(instance: Configuration, ids: Iterable[uuid.UUID], draft: Draft | None) -> dict[uuid.UUID, str]:
    """The values of these secrets: the stored ones, and those that a draft has brought."""
    typed = dict(draft.secrets) if draft else {}
    return secret_values(instance.workspace_id, [key for key in ids if key not in typed]) | typed


def _version(instance: Configuration) -> Version:
    if instance.version is None:
        raise InvalidConfig(f"{instance.name!r} has no version yet. Save it once.")
    return instance.version


async def _ask(chat: ChatModelClient, key: str, prompt: str) -> dict[str, Any]:
    try:
        async with asyncio.timeout(settings.AGENT_TIMEOUT_SECONDS):
            message = await chat.ainvoke(prompt)
    except Exception as error:
        raise _safe(error, key) from error
    return {"content": redact(message.text, key), "usage": dict(message.usage_metadata or {})}


async def _embed(spec: ModelSpecification, key: str, prompt: str) -> dict[str, Any]:
    try:
        async with asyncio.timeout(settings.AGENT_TIMEOUT_SECONDS):
            embedded = await embed(spec, key, [prompt])
    except Exception as error:
        raise _safe(error, key) from error
    return {"dimensions": len(embedded.vectors[0]), "usage": dict(embedded.usage)}


def _safe(error: Exception, key: str) -> ProviderFault:
    """`error` in the classes of a failed run, without the key that an endpoint may have quoted."""
    fault = classify(error)
    return ProviderFault(fault.error_class, redact(fault.message, key))


async def _call(spec: ToolSpecification, secrets: Secrets, arguments: Mapping[str, Any]) -> dict[str, Any]:
    result = await call(spec, arguments, secrets)
    return {"text": result.text, "content": result.content}


def _timed(attempt: Callable[..., Awaitable[dict[str, Any]]], *arguments: Any) -> Trial:
    release_connection()
    started = time.perf_counter()
    try:
        result = async_to_sync(attempt)(*arguments)
    except ProviderFault as fault:
        return _failed(fault, _since(started))
    except ToolFault as fault:
        return Trial(_since(started), error={"class": "tool_error", "message": fault.message})
    return Trial(_since(started), result=result)


def _failed(fault: ProviderFault, latency_ms: float) -> Trial:
    return Trial(latency_ms, error={"class": fault.error_class, "message": fault.message})


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def release_connection() -> None:
    """The call may take half a minute; a pooled connection is not kept from others meanwhile."""
    if not connection.in_atomic_block:
        connection.close()
