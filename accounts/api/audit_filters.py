"""What narrows the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from accounts.audit.models import Action, AuditEntry, AuditName, Outcome, Via
from agentplatform.lib.filtering import MomentFilter
from agentplatform.lib.ids import as_uuid, first_uuid7_at

LONGEST_SEARCH = 200


class AuditFilter(filters.FilterSet):
    """By who, from where, what was done and to what. Names are those at that time."""

    start = MomentFilter(method="since", label="From this moment (ISO 8601; UTC without an offset).")
    end = MomentFilter(method="until", label="Before this moment.")
    user = filters.CharFilter(method="by_name", label="Id or name of the user.")
    api_key = filters.CharFilter(method="by_name", label="Id or name of the API key.")
    action = filters.MultipleChoiceFilter(choices=Action.choices, label="May be repeated: any of them.")
    outcome = filters.ChoiceFilter(choices=Outcome.choices)
    resource_type = filters.CharFilter(label="Such as Agent, Run, Member.")
    resource_id = filters.UUIDFilter(label="Id of the object.")
    subject = filters.CharFilter(method="by_name", label="Id or name of the person whom it was done to.")
    via = filters.ChoiceFilter(choices=Via.choices)
    address = filters.CharFilter(label="Of the client.")
    request_id = filters.CharFilter(label="The answer's X-Request-ID.")
    search = filters.CharFilter(
        method="by_words", label="Words of what was changed, to what, or part of a person's or key's name."
    )

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def since(self, entries: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        # Ids begin with the time, a moment before the entry's own.
        return entries.filter(pk__gte=first_uuid7_at(value))

    def until(self, entries: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return entries.filter(pk__lt=first_uuid7_at(value))

    def by_name(self, entries: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        if key := as_uuid(value):
            return entries.filter(**{f"{name}_id": key})
        called = AuditName.objects.filter(workspace_id=self._workspace_id(), name=value).values("pk")
        return entries.filter(**{f"{name}_name__in": called})

    def by_words(self, entries: Any, name: str, value: str) -> QuerySet[Any]:
        found: QuerySet[Any] = entries.found(value[:LONGEST_SEARCH], [self._workspace_id()])
        return found

    def _workspace_id(self) -> Any:
        return self.request.auth.workspace_id
