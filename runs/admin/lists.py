"""Lists of sessions and runs in the admin, as fast at a million rows as at ten.

Ids grow with time, so "newest first", "since" and the search for the beginning of an id all read the
primary key or an index that ends in it. Nothing here counts, sorts or groups a whole table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import TenantModelAdmin, reach
from agentplatform.lib.ids import as_uuid
from agents.models import Agent
from runs.models import Run, Status

# How many agents the filter offers; a workspace with more is searched by the agent's own page.
MOST_CHOICES = 100
ID_DIGITS = 32
# Eight digits are about a minute's worth of ids.
BEGINNING_OF_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}", re.IGNORECASE)

Choices = Iterable[tuple[str, Any]]


def visible_runs(request: HttpRequest) -> QuerySet[Run]:
    """The runs that the signed-in user may see."""
    rows: QuerySet[Run] = reach(request).rows(Run.objects.all(), "read:run")
    return rows


class GrowingTableAdmin(TenantModelAdmin):
    """The admin of a tenant's table that grows for ever: newest first, and nothing that reads all of it."""

    list_disable_select_all = True
    list_per_page = 50
    list_max_show_all = 0
    ordering = ["-id"]
    sortable_by = ()
    search_fields = ["id"]
    search_help_text = _("Beginning of an id, or an end user")

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The workspace is worth a column to those who see several."""
        columns = list(super().get_list_display(request))
        several = len(reach(request).workspaces(f"read:{self.permission_resource}")[:2]) > 1
        return columns if several else [column for column in columns if column != "workspace"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows whose id begins like the term; where there are none, those that are called like it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if BEGINNING_OF_ID.fullmatch(term) and (by_id := queryset.filter(beginning_with(term))).exists():
            return by_id, False
        return queryset.filter(self.called(term, queryset)), False

    def called(self, term: str, queryset: QuerySet[Any]) -> Q:
        """The condition of a search in `queryset` that is not by id."""
        return Q(end_user=term)


class StatusFilter(SimpleListFilter):
    """Runs in one state."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return list(Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class AgentFilter(SimpleListFilter):
    """One agent's rows. Offers the agents that the user may read."""

    title = _("agent")
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        agents = reach(request).rows(Agent.objects.order_by("name"), "read:agent")
        return [(str(key), name) for key, name in agents.values_list("pk", "name")[:MOST_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return of_chosen(queryset, "agent_id", self.value())


class WorkspaceFilter(SimpleListFilter):
    """One workspace's rows. Shown to those who have several."""

    title = _("workspace")
    parameter_name = "workspace"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        found = reach(request).workspaces(f"read:{model_admin.permission_resource}")
        choices = [(str(key), slug) for key, slug in found.values_list("pk", "slug")[:MOST_CHOICES]]
        return choices if len(choices) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return of_chosen(queryset, "workspace_id", self.value())


def of_chosen(queryset: QuerySet[Any], field: str, value: str | None) -> QuerySet[Any]:
    """The rows whose `field` is the chosen id; all without a choice, none of what is no id."""
    if not value:
        return queryset
    key = as_uuid(value)
    return queryset.filter(**{field: key}) if key else queryset.none()


def beginning_with(term: str) -> Q:
    """Ids whose text begins with `term`, hexadecimal digits and hyphens."""
    digits = term.replace("-", "").lower()[:ID_DIGITS]
    return Q(pk__range=(UUID(digits.ljust(ID_DIGITS, "0")), UUID(digits.ljust(ID_DIGITS, "f"))))
