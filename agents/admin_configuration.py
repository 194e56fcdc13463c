"""The admin's page of a whole configuration: taken out as a file, and brought in after a look at what changes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.actor import Actor
from accounts.admin_base import reach
from accounts.models import Workspace
from agentplatform.lib.errors import Invalid, PlatformError
from agents.admin_forms import SecretTextarea
from agents.admin_versions import shown
from agents.configuration import exporting
from agents.configuration.importing import Report, import_text
from agents.configuration.text import LONGEST

READ, WRITE = "read:configuration", "write:configuration"


class ImportForm(forms.Form):
    """A text, or a file with one. Secrets are typed again each time: they are never sent back."""

    workspace = forms.ModelChoiceField(
        label=gettext_lazy("Workspace"), queryset=Workspace.objects.none(), widget=UnfoldAdminSelectWidget
    )
    file = forms.FileField(label=gettext_lazy("File"), required=False, widget=UnfoldAdminFileFieldWidget)
    text = forms.CharField(
        label=gettext_lazy("Configuration"),
        required=False,
        max_length=LONGEST,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 18, "spellcheck": "false"}),
        help_text=gettext_lazy("YAML or JSON, as it was exported. A file takes precedence."),
    )
    secrets = forms.CharField(
        label=gettext_lazy("Secrets"),
        required=False,
        widget=SecretTextarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=gettext_lazy(
            "A line each: name=value, for ${secret:name}. What is left out stays as it is."
        ),
    )
    prune = forms.BooleanField(
        label=gettext_lazy("Delete what the text does not have"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("Of those sections that it has."),
    )

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["workspace"].queryset = reach(request).workspaces(WRITE)  # type: ignore[attr-defined]

    def clean_secrets(self) -> dict[str, str]:
        lines = [line for line in self.cleaned_data["secrets"].splitlines() if line.strip()]
        pairs = [line.partition("=") for line in lines]
        if any(not name.strip() or not value for name, _sign, value in pairs):
            raise forms.ValidationError(_("Give a name, an equals sign and a value on each line."))
        return {name.strip(): value for name, _sign, value in pairs}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if file := cleaned.get("file"):
            try:
                cleaned["text"] = file.read(4 * LONGEST + 1).decode()
            except UnicodeDecodeError:
                self.add_error("file", _("Send it in UTF-8."))
        if not cleaned.get("text") and not self.errors:
            self.add_error("text", _("Choose a file, or write a configuration."))
        return cleaned


def urls_of(site: AdminSite) -> list[URLPattern]:
    """The routes of this page, below that of versions."""
    return [
        path("configuration/", site.admin_view(page(site)), name="agents_configuration"),
        path("configuration/export/", site.admin_view(export), name="agents_configuration_export"),
    ]


def page(site: AdminSite) -> Any:
    """The view of the page."""

    def configuration(request: HttpRequest) -> HttpResponse:
        if not reach(request).may(READ):
            raise PermissionDenied
        context: dict[str, Any] = {
            **site.each_context(request),
            "title": _("Configuration"),
            "readable": reach(request).workspaces(READ).order_by("slug"),
        }
        may_write = reach(request).may(WRITE)
        if request.method == "POST" and not may_write:
            raise PermissionDenied
        if may_write:
            form = ImportForm(request, request.POST or None, request.FILES or None, initial=_only(request))
            context |= {"form": form, **(_imported(request, form) if form.is_valid() else {})}
        return TemplateResponse(request, "admin/agents/configuration.html", context)

    return configuration


def _only(request: HttpRequest) -> dict[str, Any]:
    """A user with a single workspace need not choose it."""
    found = list(reach(request).workspaces(WRITE)[:2])
    return {"workspace": found[0].pk} if len(found) == 1 else {}


def _imported(request: HttpRequest, form: ImportForm) -> dict[str, Any]:
    """What has changed or would, or what is wrong. Only the button that says so changes anything."""
    given, is_trial = form.cleaned_data, request.POST.get("act") != "import"
    # A file is shown, so that what was looked at is what is imported.
    form.data = {**form.data.dict(), "text": given["text"]}  # type: ignore[attr-defined]
    actor: Actor = reach(request).actor(given["workspace"].pk)
    try:
        actor.require(WRITE)
        report = import_text(
            actor, given["text"], secrets=given["secrets"].get, prune=given["prune"], is_trial=is_trial
        )
    except PlatformError as error:
        details = error.details if isinstance(error, Invalid) else [{"field": "", "message": error.message}]
        return {"faults": details}
    return {"report": report, "changes": _changes(report)}


def _changes(report: Report) -> list[Any]:
    return [
        (
            one,
            [(where, shown(change["old"]), shown(change["new"])) for where, change in one.difference.items()],
        )
        for one in report.changes
    ]


def export(request: HttpRequest) -> HttpResponse:
    """The file of `?workspace=`."""
    workspace = reach(request).workspaces(READ).filter(slug=request.GET.get("workspace", "")).first()
    if workspace is None:
        raise PermissionDenied
    return HttpResponse(
        exporting.export(reach(request).actor(workspace.pk)),
        content_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{workspace.slug}.yaml"'},
    )
