"""The admin's part: what a form or a deletion has done is told, unless the domain's verb has told it already."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.admin_reach import reach
from accounts.audit.models import Action
from accounts.audit.recording import Thing, is_told, record, thing
from accounts.audit.values import change, fingerprint_of, shown_columns, state_of


class Audited:
    """Mixin of admin classes; put it before unfold's ModelAdmin.

    Django tells of additions and changes after they are saved, and of deletions before, in the transaction each time.
    So a class whose deletions go through a verb that records them says so in `deletes_by_verb`.
    """

    deletes_by_verb = False

    def audit_thing(self, obj: Any) -> Thing:
        """The object as entries name it."""
        return thing(obj)

    def audit_change(self, action: Action, obj: Any, before: Any, after: Any) -> None:
        """Writes the entry."""
        record(action, self.audit_thing(obj), before=before, after=after)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Remembers what the object was before a form changes it."""
        found = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        if found is not None and request.method == "POST":
            _before(request).setdefault(found.pk, fingerprint_of(found))
        return found

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """An action that fails leaves nothing, so no entry either: Django tells of deletions before it deletes."""
        with transaction.atomic() if request.method == "POST" else nullcontext():
            shown: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        return shown

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if not is_told(self.audit_thing(obj)):
            self.audit_change(Action.CREATED, obj, None, state_of(obj))
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if not is_told(self.audit_thing(obj)):
            known = _before(request).get(obj.pk, {})
            old, new = change(known, fingerprint_of(obj), shown_columns(type(obj)))
            self.audit_change(Action.UPDATED, obj, old, new)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        if not self.deletes_by_verb:
            for obj in queryset:
                self.audit_change(Action.DELETED, obj, state_of(obj), None)
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The object's page links to its history: for those who may read the audit log, that is in there."""
        if reach(request).may("read:audit"):
            page = reverse("admin:accounts_auditentry_changelist")
            return HttpResponseRedirect(f"{page}?resource_id={object_id}")
        return super().history_view(request, object_id, extra_context)  # type: ignore[misc]


def _before(request: Any) -> dict[Any, dict[str, Any]]:
    if not hasattr(request, "_audited"):
        request._audited = {}
    known: dict[Any, dict[str, Any]] = request._audited
    return known
