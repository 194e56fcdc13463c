"""Security events in the admin, for superusers: to filter and to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from accounts.audit.admin import AuditSinceFilter
from accounts.security.models import SecurityEvent
from agentplatform.lib.admin_lists import CappedPaginator


@admin.register(SecurityEvent)
class SecurityEventAdmin(ModelAdmin):
    """What somebody has tried, by source and minute. Nobody changes it; a chore removes what is old."""

    list_display = ["minute", "kind", "address", "subject", "count", "delivered_at"]
    list_filter = [AuditSinceFilter, "kind"]
    show_facets = ShowFacets.NEVER
    search_fields = ["=address", "=subject", "=request_id"]
    search_help_text = _("An address, a subject (user:… or key:…) or a request id, as a whole")
    paginator = CappedPaginator
    show_full_result_count = False
    fields = [
        "kind",
        "minute",
        "address",
        "subject",
        "count",
        ("first_at", "last_at"),
        "request_id",
        "objects_named",
        ("attempts", "delivered_at"),
    ]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
