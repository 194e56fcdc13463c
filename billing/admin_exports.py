"""Exports in the admin: asked for with a form, downloaded from the list or the page, with the manifest below."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.admin_base import TenantForm, TenantModelAdmin, reach
from accounts.models import Workspace
from agentplatform.lib.downloads import download
from agentplatform.lib.errors import Conflict, PlatformError
from billing.exports import columns, requests
from billing.exports.options import COMPRESSIONS, DECIMALS, DELIMITERS, FORMATS, Options
from billing.models import UsageExport, UsageRecord
from billing.usage_filters import ENDED, select

Status = UsageExport.Status
colour_by_status = {
    Status.QUEUED: "info",
    Status.RUNNING: "info",
    Status.COMPLETED: "success",
    Status.FAILED: "danger",
    Status.EXPIRED: "warning",
}
# The form's fields, by the filters that they are.
filter_by_field = {
    "from_time": "start",
    "until_time": "end",
    "of_agent": "agent",
    "of_user": "user",
    "of_key": "api_key",
    "of_model": "model",
    "of_outcome": "status",
}
SAID = {
    "point": gettext_lazy("point"),
    "comma": gettext_lazy("comma"),
    "tab": gettext_lazy("tab"),
    "none": gettext_lazy("none"),
}
"""Choices that are words."""
OPTIONS = ("format", "bom", "decimal", "delimiter", "tz", "compression")


def _text(label: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, max_length=200, widget=UnfoldAdminTextInputWidget())


def _moment(label: Any, help_text: Any) -> forms.SplitDateTimeField:
    return forms.SplitDateTimeField(
        label=label, required=False, help_text=help_text, widget=UnfoldAdminSplitDateTimeWidget()
    )


def _choice(label: Any, names: Any, **kwargs: Any) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label,
        choices=[(name, SAID.get(name, name)) for name in names],
        widget=UnfoldAdminSelectWidget(),
        **kwargs,
    )


class ExportForm(TenantForm):
    """A new export, checked as in the API."""

    format = _choice(gettext_lazy("format"), FORMATS)
    from_time = _moment(gettext_lazy("from"), gettext_lazy("UTC. Empty: 30 days before the end."))
    until_time = _moment(gettext_lazy("until"), gettext_lazy("UTC, not part of it. Empty: now."))
    of_agent = _text(gettext_lazy("agent"))
    of_user = _text(gettext_lazy("user"))
    of_key = _text(gettext_lazy("API key"))
    of_model = _text(gettext_lazy("model"))
    of_outcome = forms.ChoiceField(
        label=gettext_lazy("outcome"),
        required=False,
        choices=[("", "---------"), *ENDED],
        widget=UnfoldAdminSelectWidget(),
    )
    chosen = forms.MultipleChoiceField(
        label=gettext_lazy("columns"),
        required=False,
        choices=[(name, name) for name in columns.BY_NAME],
        help_text=gettext_lazy("None chosen: the usual ones."),
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    bom = forms.BooleanField(
        label=gettext_lazy("byte order mark"),
        required=False,
        help_text=gettext_lazy("CSV: by which Excel knows the letters."),
        widget=UnfoldBooleanSwitchWidget(),
    )
    decimal = _choice(gettext_lazy("decimal sign (CSV)"), DECIMALS)
    delimiter = _choice(gettext_lazy("delimiter (CSV)"), DELIMITERS)
    tz = forms.CharField(
        label=gettext_lazy("time zone"), initial="UTC", max_length=64, widget=UnfoldAdminTextInputWidget()
    )
    compression = _choice(gettext_lazy("compression"), COMPRESSIONS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label = capfirst(field.label)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors:
            try:
                self.options()
                select(self.filters(), UsageRecord.objects.none())
            except PlatformError as error:
                self.add_error(None, error.message)
            except APIException as error:
                self.add_error(None, str(error.detail))
        return cleaned

    def options(self) -> Options:
        """Raises Invalid."""
        cleaned = self.cleaned_data
        return Options.of({**{name: cleaned[name] for name in OPTIONS}, "columns": cleaned["chosen"]})

    def filters(self) -> dict[str, str]:
        """Those that are given, as in the query string."""
        given = {name: self.cleaned_data.get(field) for field, name in filter_by_field.items()}
        return {
            name: value if isinstance(value, str) else value.isoformat()
            for name, value in given.items()
            if value
        }


@admin.register(UsageExport)
class UsageExportAdmin(TenantModelAdmin):
    permission_resource = "usage"
    deletes_by_verb = True
    list_select_related = ["workspace"]
    list_display = [
        *("created_at", "state", "format", "user", "row_count", "file_size", "expires_at", "workspace"),
        "download_link",
    ]
    list_filter = ["status", "format", "workspace"]
    ordering = ["-id"]
    sortable_by = ()
    list_per_page = 50
    asked_for = [
        (None, {"fields": ["workspace", "format", "from_time", "until_time"]}),
        (
            gettext_lazy("Filters"),
            {"fields": [("of_agent", "of_model"), ("of_user", "of_key"), "of_outcome"]},
        ),
        (
            gettext_lazy("How it is written"),
            {"fields": ["chosen", ("decimal", "delimiter"), "bom", ("tz", "compression")]},
        ),
    ]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("workspace", "status", "download_link"),
                    ("format", "row_count", "file_size"),
                    ("user", "api_key"),
                    "sha256",
                    "error",
                ]
            },
        ),
        (gettext_lazy("Times"), {"fields": [("created_at", "started_at"), ("finished_at", "expires_at")]}),
        (gettext_lazy("Manifest"), {"fields": ["told"]}),
    ]
    readonly_fields = ["state", "download_link", "row_count", "file_size", "told"]

    # --- who may ---

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "export:usage")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "export:usage", obj)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "export:usage", obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "export:usage", obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return reach(request).rows(super().get_queryset(request), "export:usage")

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        if db_field.remote_field.model is Workspace:
            return reach(request).workspaces("export:usage")
        return super().get_field_queryset(db, db_field, request)

    # --- what they do ---

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.fieldsets if obj else self.asked_for

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if obj else {"form": ExportForm}), **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial = super().get_changeform_initial_data(request)
        workspaces = list(reach(request).workspaces("export:usage")[:2])
        return {"workspace": workspaces[0].pk, **initial} if len(workspaces) == 1 else initial

    def save_model(self, request: HttpRequest, obj: UsageExport, form: Any, change: bool) -> None:
        made = requests.ask(self.actor(request, obj.workspace_id), form.options(), form.filters())
        obj.pk = made.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: UsageExport) -> None:
        requests.delete(self.actor(request, obj.workspace_id), obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[UsageExport]) -> None:
        for export in queryset:
            self.delete_model(request, export)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download_view)
        name = "billing_usageexport_download"
        return [path("<uuid:object_id>/download/", view, name=name), *super().get_urls()]

    def download_view(self, request: HttpRequest, object_id: UUID) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        export = self.get_object(request, str(object_id))
        if export is None:
            raise Http404
        try:
            file = requests.file_of(self.actor(request, export.workspace_id), export)
        except Conflict as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(reverse("admin:billing_usageexport_change", args=[export.pk]))
        return download(str(request.method), request.headers, file)

    # --- columns ---

    @display(description=gettext_lazy("status"), label=colour_by_status)
    def state(self, export: UsageExport) -> tuple[str, str]:
        return export.status, export.get_status_display()

    @display(description=gettext_lazy("rows"))
    def row_count(self, export: UsageExport) -> str:
        return f"{export.rows:,}"

    @display(description=gettext_lazy("size"))
    def file_size(self, export: UsageExport) -> str:
        return "" if export.size is None else _("%(bytes)s bytes") % {"bytes": f"{export.size:,}"}

    @display(description=gettext_lazy("file"))
    def download_link(self, export: UsageExport) -> str:
        if export.status != Status.COMPLETED:
            return "–"
        link = reverse("admin:billing_usageexport_download", args=[export.pk])
        return format_html('<a href="{}" class="text-primary-600 font-medium">{}</a>', link, _("Download"))

    @display(description=gettext_lazy("manifest"))
    def told(self, export: UsageExport) -> str:
        if export.manifest is None:
            return "–"
        text = orjson.dumps(export.manifest, option=orjson.OPT_INDENT_2).decode()
        return format_html('<pre class="whitespace-pre-wrap break-all">{}</pre>', text)
