"""What the API makes and people operate in the admin: facts to read, a name to search for, and buttons."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from runs.admin.acts import Acts
from runs.admin.lists import GrowingTableAdmin


class OperatedAdmin(Acts, GrowingTableAdmin):
    """Nothing is added or edited here; buttons and actions with the permission `operate` need `write:<resource>`."""

    search_help_text = gettext_lazy("Beginning of an id, or a name")

    def called(self, term: str, queryset: QuerySet[Any]) -> Q:
        return Q(name=term)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest, row: Model | str | None = None) -> bool:
        """Whether the user may operate this row, which may be given by its id, or any."""
        permission = f"write:{self.permission_resource}"
        if row is None:
            return self.may(request, permission)
        found = self.get_object(request, row) if isinstance(row, str) else row
        return found is not None and self.may(request, permission, found)
