"""How the last try to reach a server went, for people to see."""

from __future__ import annotations

from django.utils import timezone

from agentplatform.lib.text import storable
from agents.models import McpServer
from agents.specification import McpServerSpecification


def note(server: McpServerSpecification, message: str) -> None:
    """Stores that the server has been reached (no message), or why not. Says nothing of other versions of it."""
    McpServer.objects.filter(pk=server.id, version_id=server.version_id).update(
        health=McpServer.Health.FAILING if message else McpServer.Health.HEALTHY,
        health_message=storable(message),
        checked_at=timezone.now(),
    )
