"""An MCP client's side: the official client over a real socket, and single messages without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult

from accounts.models import ApiKey, User
from accounts.tokens import AccessToken
from agentplatform.lib.concurrency import in_thread
from runs.models import TERMINAL, Run, Status

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
"""The protocol of 2026, which has no sessions, and those before it."""
ACCEPT = {"Accept": "application/json, text/event-stream"}
PATIENCE_SECONDS = 20


def credentials(caller: User | ApiKey | None) -> dict[str, str]:
    """The headers that say who calls."""
    if isinstance(caller, ApiKey):
        return {"X-API-Key": caller.text}
    return {"Authorization": f"Bearer {AccessToken.for_user(caller)}"} if caller else {}


async def names(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


def text_of(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content)


def about(result: CallToolResult) -> dict[str, Any]:
    """What the result's `_meta` says of the run."""
    return {name.removeprefix("agentplatform/"): value for name, value in (result.meta or {}).items()}


async def until(condition: Callable[[], Any]) -> Any:
    """What `condition`, which asks the database, answers, once that is something."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await in_thread(condition)):
            await asyncio.sleep(0.02)
    return found


def running() -> Run | None:
    return Run.objects.filter(status=Status.RUNNING).first()


def ended() -> Run | None:
    return Run.objects.filter(status__in=TERMINAL).first()
