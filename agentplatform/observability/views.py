"""`GET /metrics` of a web process."""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse

from accounts.throttling import client_address
from agentplatform.lib.async_views import answering
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import NotAuthenticated
from agentplatform.observability import access
from agentplatform.observability.database_figures import Snapshot, database_figures
from agentplatform.observability.exposition import render

SUPERUSERS = "Superusers see them when they are signed in."


@answering("GET")
async def metrics(request: HttpRequest) -> HttpResponse:
    """What Prometheus reads."""
    known = access.is_known(request.headers.get("Authorization", ""), client_address(request))
    if not (known or await in_thread(access.is_superuser, request)):
        raise NotAuthenticated(f"{access.REFUSED} {SUPERUSERS}")
    snapshot = Snapshot(await database_figures.ask())
    text, content_type = await asyncio.to_thread(render, request.headers.get("Accept", ""), snapshot)
    return HttpResponse(text, content_type=content_type, headers={"Cache-Control": "no-store"})
