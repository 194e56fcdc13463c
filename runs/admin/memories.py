"""Memories in the admin: to read, to search, and to delete. What they say is nobody's to edit but whose they are."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin import SimpleListFilter as ListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from accounts.admin_base import reach
from accounts.models import User
from agentplatform.lib.admin_lists import SinceFilter
from agentplatform.lib.errors import Invalid
from runs.admin.lists import (
    MOST_CHOICES,
    AgentFilter,
    Choices,
    GrowingTableAdmin,
    WorkspaceFilter,
    of_chosen,
)
from runs.admin.sections import as_written
from runs.memory import editing, rows
from runs.models import Memory

EXCERPT = 120
"""Characters of a memory that a list shows."""


class UserFilter(ListFilter):
    """One person's memories. Offers the members of the workspaces of which all may be read."""

    title = gettext_lazy("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        workspaces = reach(request).workspaces("read:all-memories")
        members = User.objects.filter(memberships__workspace__in=workspaces.values("pk")).distinct()
        found = members.order_by("username").values_list("pk", "username")[:MOST_CHOICES]
        return [(str(key), name) for key, name in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return of_chosen(queryset, "user_id", self.value())


class MemoryAdmin(GrowingTableAdmin):
    permission_resource = "memory"
    deletes_by_verb = True
    list_display = ["excerpt", "about", "user", "end_user", "agent", "updated_at", "workspace"]
    list_filter = [AgentFilter, UserFilter, SinceFilter, WorkspaceFilter]
    list_select_related = ["user", "agent", "workspace"]
    search_help_text = gettext_lazy("Words, beginning of an id, a user or an end user")
    fields = [
        "workspace",
        ("user", "end_user"),
        ("agent", "about"),
        "whole",
        ("path", "written_by"),
        ("created_at", "updated_at"),
    ]
    readonly_fields = ["about", "whole", "path", "written_by"]

    class Media:
        css = {"all": ["runs/admin.css"]}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if not search_term.strip() or found.exists():
            return found, duplicates
        try:
            return rows.matching(queryset, search_term).order_by("-id"), False
        except Invalid:
            return found, duplicates

    def called(self, term: str, queryset: QuerySet[Any]) -> Q:
        return super().called(term, queryset) | Q(user__username=term)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Other people's need a permission of their own."""
        is_own = obj is None or obj.user_id == request.user.pk
        may = super().has_delete_permission(request, obj)
        return may and (is_own or self.may(request, "delete:all-memories", obj))

    def delete_model(self, request: HttpRequest, obj: Memory) -> None:
        editing.delete(self.actor(request, obj.workspace_id), obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Memory]) -> None:
        for memory in queryset:
            self.delete_model(request, memory)

    @display(description=gettext_lazy("content"))
    def excerpt(self, memory: Memory) -> str:
        text = memory.content or json.dumps(memory.value, ensure_ascii=False)
        return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…"

    @display(description=gettext_lazy("topic"))
    def about(self, memory: Memory) -> str:
        return memory.topic or "–"

    @display(description=gettext_lazy("content"))
    def whole(self, memory: Memory) -> str:
        """Its text; of what programs have kept in another shape, that."""
        return as_written(memory.content or json.dumps(memory.value, indent=2, ensure_ascii=False))

    @display(description=gettext_lazy("key"))
    def path(self, memory: Memory) -> str:
        return "/".join([*memory.namespace, memory.key])

    @display(description=gettext_lazy("run"))
    def written_by(self, memory: Memory) -> str:
        """The run may be gone."""
        if memory.run_id is None:
            return "–"
        page = reverse("admin:runs_run_change", args=[memory.run_id])
        return format_html('<a class="live-link" href="{}">{}</a>', page, _("Open the run"))
