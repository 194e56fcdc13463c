"""The audit log in the admin: to search and to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import TenantModelAdmin, reach
from accounts.audit.models import PLATFORM, AuditEntry
from agentplatform.lib.admin_lists import CappedPaginator, SinceFilter
from agentplatform.lib.ids import as_uuid

LONGEST_SEARCH = 200
# Of what a search has found; the page says "more than" then.
MOST_COUNTED = 1_000
CELL = (
    "<td style='padding:2px 16px 2px 0;vertical-align:top;white-space:pre-wrap;word-break:break-word'>{}</td>"
)


class AuditSinceFilter(SinceFilter):
    """What was done in that time."""

    title = _("time")


class AuditWorkspaceFilter(SimpleListFilter):
    """One workspace's entries; for superusers those of the platform too."""

    title = _("workspace")
    parameter_name = "workspace"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        own = reach(request).workspaces("read:audit").values_list("pk", "slug")[:100]
        choices: list[tuple[str, Any]] = [(str(key), slug) for key, slug in own]
        if reach(request).is_superuser:
            choices.append((str(PLATFORM), _("The platform")))
        return choices if len(choices) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        key = as_uuid(self.value())
        return queryset.filter(workspace_id=key) if key else queryset.none()


@admin.register(AuditEntry)
class AuditEntryAdmin(TenantModelAdmin):
    """Nobody changes anything here. Object pages lead to their history by `?resource_id=`."""

    permission_resource = "audit"
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_disable_select_all = True
    list_per_page = 50
    list_max_show_all = 0
    ordering = ["-id"]
    sortable_by = ()
    search_fields = ["id"]
    search_help_text = _(
        "Words of what was done to what, a name, or the id of an object, a person or a request"
    )
    list_select_related = ["workspace", "user_name", "api_key_name", "subject_name"]
    list_display = ["timestamp", "action", "what", "who", "via", "address", "outcome", "workspace"]
    list_filter = [AuditSinceFilter, "action", "via", "outcome", AuditWorkspaceFilter]
    fieldsets = [
        (None, {"fields": ["timestamp", ("action", "outcome"), "workspace"]}),
        (_("Object"), {"fields": [("resource_type", "resource_name"), "resource_id", "subject_name"]}),
        (_("Changes"), {"fields": ["changes"]}),
        (_("Who"), {"fields": [("user_name", "user_id"), ("api_key_name", "api_key_prefix"), "api_key_id"]}),
        (_("From where"), {"fields": [("via", "address"), "request_id", ("method", "path")]}),
    ]
    readonly_fields = ["changes", "subject_name", "user_name", "api_key_name"]

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()[:LONGEST_SEARCH]
        if not term:
            return queryset, False
        if (key := as_uuid(term)) is not None:
            for field in ("resource_id", "user_id", "subject_id", "request_id", "pk"):
                if (found := queryset.filter(**{field: key})).exists():
                    return found, False
        known: Any = queryset
        own = list(reach(request).workspaces("read:audit").values_list("pk", flat=True))
        return known.found(term, [*own, PLATFORM]), False

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> CappedPaginator:
        """Of a search for a frequent word, each entry that is counted has its words made anew."""
        paginator: CappedPaginator = super().get_paginator(request, *args, **kwargs)
        if request.GET.get(SEARCH_VAR):
            paginator.most_rows = MOST_COUNTED
        return paginator

    @admin.display(description=_("object"))
    def what(self, entry: AuditEntry) -> str:
        name = entry.resource_name or entry.subject_name or entry.resource_id or ""
        return f"{entry.resource_type} {name}".strip() or entry.path

    @admin.display(description=_("who"))
    def who(self, entry: AuditEntry) -> str:
        known = [str(name) for name in (entry.user_name, entry.api_key_name) if name]
        return " · ".join(known) or "–"

    @admin.display(description=_("changed fields"))
    def changes(self, entry: AuditEntry) -> SafeString | str:
        """A line for each field: its name, what it was, and what it is."""
        before, after = entry.before or {}, entry.after or {}
        rows = [(name, _text(before, name), _text(after, name)) for name in {**before, **after}]
        if not rows:
            return "–"
        head = format_html("<tr><th></th><th>{}</th><th>{}</th></tr>", _("Before"), _("After"))
        body = format_html_join("", f"<tr><th>{{}}</th>{CELL}{CELL}</tr>", rows)
        return format_html("<table style='text-align:left'>{}{}</table>", head, body)


def _text(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return "–"
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
