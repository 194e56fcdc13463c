"""Schedules and webhooks as sections of a workspace's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.actor import Actor
from agentplatform.lib.errors import Conflict
from agents.configuration.documents import by_name
from agents.configuration.rows import RowSection, one
from agents.configuration.sections import Json, Reference, has_id, register
from runs.api.schedule_serializers import ScheduleSerializer
from runs.api.webhook_serializers import WebhookSerializer
from runs.models import Schedule, Webhook
from runs.webhooks import editing as webhook_editing


class ScheduleSection(RowSection):
    """Schedules without the session that they go on with. A new one belongs to whoever imports it."""

    type, key, resource = "schedule", "schedules", "schedule"
    required = ("agent", "cron", "input")
    defaults = {
        "timezone": "UTC",
        "enabled": True,
        "catch_up": "skip",
        "user_id": "",
        "config": {},
        "limits": {},
        "metadata": {},
        "tags": [],
        "priority": 0,
    }
    rows = Schedule.objects.select_related("agent")
    serializer = ScheduleSerializer

    def document(self, row: Schedule) -> Json:
        own = {name: getattr(row, name) for name in ("cron", "input", *self.defaults) if name != "user_id"}
        return by_name(own) | {"agent": row.agent.name, "user_id": row.end_user}

    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        return {"agent": one("agent", document.get("agent"))}

    def write(self, actor: Actor, row: Any, name: str, values: Json) -> None:
        if row is None and not has_id(actor):
            raise Conflict("A schedule starts its runs as its owner: name a user who imports it.")
        super().write(actor, row, name, {"agent_id": values.pop("agent"), **values})

    def remove(self, actor: Actor, row: Schedule) -> None:
        row.delete()


class WebhookSection(RowSection):
    """Webhooks. A new one has a new secret, which `rotate-secret` shows; that of another one stays."""

    type, key, resource = "webhook", "webhooks", "webhook"
    required = ("url", "events")
    defaults = {"agent": None, "enabled": True}
    rows = Webhook.objects.select_related("agent")
    serializer = WebhookSerializer

    def document(self, row: Webhook) -> Json:
        agent = row.agent.name if row.agent else None
        return {"url": row.url, "events": row.events, "agent": agent, "enabled": row.enabled}

    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        return {"agent": one("agent", document.get("agent"))}

    def write(self, actor: Actor, row: Any, name: str, values: Json) -> None:
        super().write(actor, row, name, {"agent_id": values.pop("agent"), **values})

    def remove(self, actor: Actor, row: Webhook) -> None:
        webhook_editing.delete(row)


register(ScheduleSection())
register(WebhookSection())
