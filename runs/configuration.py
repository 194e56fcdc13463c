"""Schedules, webhooks and budgets as sections of a workspace's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from accounts import audit
from accounts.actor import Actor
from accounts.models import Membership, User
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import Conflict, Invalid
from agents.configuration.documents import by_name
from agents.configuration.rows import RowSection, one
from agents.configuration.sections import Json, Lookup, Reference, has_id, register
from agents.models import Agent
from billing.api.budget_serializers import BudgetSerializer
from billing.budgets import editing as budget_editing
from billing.models import Budget
from runs.api.schedule_serializers import ScheduleSerializer
from runs.api.webhook_serializers import WebhookSerializer
from runs.models import Schedule, Webhook
from runs.webhooks import editing as webhook_editing

# Before or behind the point. Written out, an amount like 1e999999999 would be a gigabyte.
MOST_DIGITS = 24


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

    def settled(self, document: Mapping[str, Any], current: Json, secrets: Lookup) -> Json:
        """What an agent is asked stands in the row as messages."""
        given, stored = document["input"], current.get("input")
        is_same = isinstance(given, str) and stored == [{"role": "user", "content": given.strip()}]
        return {**document, "input": stored} if is_same else dict(document)

    def write(self, actor: Actor, row: Any, name: str, values: Json) -> None:
        if row is None and not has_id(actor):
            raise Conflict("A schedule starts its runs as its owner: name a user who imports it.")
        super().write(actor, row, name, {"agent_id": values.pop("agent"), **values})

    def remove(self, actor: Actor, row: Schedule) -> None:
        audit.deleted(row, actor=actor)
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


class BudgetSection(RowSection):
    """Budgets, except those of API keys: keys are no part of a configuration. What they are of never changes."""

    type, key, resource = "budget", "budgets", "budget"
    required = ("period",)
    defaults = {
        "agent": None,
        "user": None,
        "provider": "",
        "model": "",
        "limit_amount": None,
        "limit_tokens": None,
        "warning_levels": [50, 80, 100],
        "action": "alert",
        "recipients": [],
        "enabled": True,
    }
    rows = Budget.objects.filter(api_key_id=None)
    serializer = BudgetSerializer

    def documents(self, actor: Actor) -> dict[str, Json]:
        rows = list(self.rows.visible_to(actor).order_by("name"))
        names = _names(rows)
        # Without its agent or user it would come back as the whole workspace's.
        return {row.name: self._written(row, names) for row in rows if _of(row) <= names.keys()}

    def document(self, row: Budget) -> Json:
        return self._written(row, _names([row]))

    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        return {"agent": one("agent", document.get("agent"))}

    def settled(self, document: Mapping[str, Any], current: Json, secrets: Lookup) -> Json:
        """Amounts and levels as the row has them: `250` and `"250.00"` are the same limit."""
        return {
            **document,
            "limit_amount": _amount(document["limit_amount"]),
            "warning_levels": _levels(document["warning_levels"]),
        }

    def write(self, actor: Actor, row: Any, name: str, values: Json) -> None:
        agent, username = values.pop("agent"), values.pop("user")
        ids = {
            "agent_id": agent and Agent.objects.named(actor, agent).pk,
            "user_id": username and _member(actor, username),
        }
        serializer = BudgetSerializer(row, data={**ids, **values, "name": name}, context={"actor": actor})
        serializer.is_valid(raise_exception=True)
        serializer.save(**({} if row else {"workspace_id": actor.workspace_id}))

    def delete(self, actor: Actor, name: str) -> None:
        actor.require("write:budget")
        if row := self.find(actor, name, lock=True):
            self.remove(actor, row)

    def remove(self, actor: Actor, row: Budget) -> None:
        budget_editing.delete(row)

    def _written(self, row: Budget, names: Mapping[Any, str]) -> Json:
        own = {name: getattr(row, name) for name in self.defaults if name not in ("agent", "user")}
        of = {
            "agent": row.agent_id and names.get(row.agent_id),
            "user": row.user_id and names.get(row.user_id),
        }
        return {"period": row.period, **own, **of, "limit_amount": _amount(row.limit_amount)}


def _of(budget: Budget) -> set[Any]:
    """The ids that a document has names for."""
    return {key for key in (budget.agent_id, budget.user_id) if key}


def _amount(given: Any) -> Any:
    """As a text without trailing zeros, if it is an amount; what is none is for the serializer to refuse."""
    if not isinstance(given, str | int | float | Decimal) or isinstance(given, bool):
        return given
    try:
        amount = Decimal(str(given))
    except InvalidOperation:
        return given
    return plain(amount) if amount.is_finite() and abs(amount.adjusted()) < MOST_DIGITS else given


def _levels(given: Any) -> Any:
    is_list = isinstance(given, list) and all(isinstance(level, int) for level in given)
    return sorted(set(given)) if is_list else given


def _names(budgets: Sequence[Budget]) -> dict[Any, str]:
    """What the agents and users of budgets are called, by id."""
    agents = Agent.objects.filter(pk__in=[budget.agent_id for budget in budgets if budget.agent_id])
    users = User.objects.filter(pk__in=[budget.user_id for budget in budgets if budget.user_id])
    return dict([*agents.values_list("pk", "name"), *users.values_list("pk", "username")])


def _member(actor: Actor, username: str) -> Any:
    """The id of a member. Raises Invalid."""
    members = Membership.objects.filter(workspace_id=actor.workspace_id, user__username=username)
    if (user_id := members.values_list("user_id", flat=True).first()) is None:
        raise Invalid({"user": f"The workspace has no member {username!r}."})
    return user_id


register(ScheduleSection())
register(WebhookSection())
register(BudgetSection())
