"""Sessions in the admin."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from runs import sessions
from runs.admin.lists import AgentFilter, GrowingTableAdmin, SinceFilter, WorkspaceFilter, visible_runs
from runs.admin.sections import WithSections, session_sections
from runs.models import Session

# So many of the newest names are read for a part of one, in some 20 ms, and so many sessions found by it.
NAMES_READ = 20_000
MOST_NAMED = 1_000


class SessionAdmin(WithSections, GrowingTableAdmin):
    permission_resource = "session"
    deletes_by_verb = True
    list_display = ["title", "agent", "user", "end_user", "created_at", "updated_at", "workspace"]
    list_filter = [AgentFilter, SinceFilter, WorkspaceFilter]
    list_select_related = ["agent", "user", "workspace"]
    search_help_text = gettext_lazy("Part of a newer name, beginning of an id, or an end user")
    autocomplete_fields = ["agent"]
    fields = ["workspace", "title", "agent", "end_user", "user", "created_at", "updated_at"]
    readonly_fields = ["user", "created_at", "updated_at"]

    def called(self, term: str, queryset: QuerySet[Any]) -> Q:
        """An end user, or part of a name among the newest: no index knows parts of names."""
        newest = queryset.order_by("-id")
        oldest = newest.values_list("pk", flat=True)[NAMES_READ - 1 : NAMES_READ].first()
        read = newest.filter(pk__gte=oldest) if oldest else newest
        keys = list(read.filter(title__icontains=term).values_list("pk", flat=True)[:MOST_NAMED])
        return super().called(term, queryset) | Q(pk__in=keys)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_touch(request, obj, "write")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_touch(request, obj, "delete")

    def save_model(self, request: HttpRequest, obj: Session, form: ModelForm[Session], change: bool) -> None:
        actor = self.actor(request, obj.workspace_id)
        entered = {name: form.cleaned_data[name] for name in form.changed_data if name != "workspace"}
        if change:
            sessions.change_session(actor, obj, **entered)
        else:
            obj.pk = sessions.create_session(actor, **entered).pk

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        sessions.delete_session(self.actor(request, obj.workspace_id), obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for session in queryset:
            self.delete_model(request, session)

    def sections(self, request: HttpRequest, obj: Session) -> list[Any]:
        return session_sections(obj, visible_runs(request))

    def _may_touch(self, request: HttpRequest, obj: Any, verb: str) -> bool:
        """Other people's sessions need a permission of their own."""
        is_own = obj is None or obj.user_id == request.user.pk
        return is_own or self.may(request, f"{verb}:all-sessions", obj)
