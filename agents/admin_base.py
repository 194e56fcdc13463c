"""What the admin pages of all configurations share. Every save records a version, as the API does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import TenantModelAdmin
from agents import editing, trials, versions
from agents.admin_forms import ConfigurationForm
from agents.admin_versions import VersionsAdmin
from agents.models import Configuration

HISTORY = ["version_number", "created_at", "updated_at"]


def reading(form: type[ConfigurationForm], name: str) -> Callable[[Configuration], Any]:
    """What a field of the form, and of no model, begins with, for a page that can only be read."""
    field = form.base_fields[name]

    @admin.display(description=field.label)
    def read(configuration: Configuration) -> Any:
        value = form(instance=configuration).initial.get(name)
        if choices := dict(getattr(field, "choices", ())):
            return choices.get(value, next(iter(choices.values())))
        return field.prepare_value(value)

    read.__name__ = name
    return read


class ConfigurationAdmin(VersionsAdmin, TenantModelAdmin):
    """Saves record a version; deletes are refused while something uses the object."""

    form: type[ConfigurationForm] = ConfigurationForm
    deletes_by_verb = True
    list_select_related = ["workspace", "version"]
    list_filter = ["enabled", "workspace"]
    list_filter_submit = True
    search_fields = ["name", "description"]
    ordering = ["name"]
    readonly_fields = HISTORY

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Who may only read sees what the form's own fields stand for, and none that only takes something in; what is
        new has no history.
        """
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return [(title, options) for title, options in fieldsets if options["fields"] != HISTORY]
        if self.has_change_permission(request, obj):
            return fieldsets
        return [
            (title, {**options, "fields": self._as_read(options["fields"])}) for title, options in fieldsets
        ]

    def _as_read(self, fields: Any) -> list[Any]:
        shown: list[Any] = []
        for field in fields:
            if isinstance(field, tuple):
                shown.append(tuple(self._as_read(field)))
            elif field in self.form.read_from_initial:
                shown.append(reading(self.form, field))
            elif field not in self.form.only_taken_in:
                shown.append(field)
        return shown

    @admin.display(description=_("version"))
    def version_number(self, configuration: Configuration) -> int | None:
        return configuration.version.number if configuration.version else None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Versions hold the whole configuration; a list needs their numbers.
        return super().get_queryset(request).defer("version__data")

    def save_model(self, request: HttpRequest, obj: Configuration, form: Any, change: bool) -> None:
        self.write_secrets(obj, form.cleaned_data)
        super().save_model(request, obj, form, change)

    def write_secrets(self, obj: Any, cleaned: dict[str, Any]) -> None:
        """Stores what the form has beside the model's own fields."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        actor = self.actor(request, form.instance.workspace_id)
        versions.record(form.instance, actor, "updated" if change else "created")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What is in use shows as protected, and Django then refuses to delete it."""
        deleted, counts, needed, protected = super().get_deleted_objects(objs, request)
        return (
            deleted,
            counts,
            needed,
            [*protected, *(user for obj in objs for user in editing.users_of(obj))],
        )

    def delete_model(self, request: HttpRequest, obj: Configuration) -> None:
        editing.delete(obj, self.actor(request, obj.workspace_id))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def report(self, request: HttpRequest, name: str, trial: trials.Trial) -> None:
        """Shows how a trial went."""
        if trial.error:
            said, level = f"{trial.error['class']}: {trial.error['message']}", messages.ERROR
        else:
            said, level = next(iter((trial.result or {}).values()), ""), messages.SUCCESS
        self.message_user(request, f"{name}: {str(said)[:300]} ({trial.latency_ms:.0f} ms)", level)
