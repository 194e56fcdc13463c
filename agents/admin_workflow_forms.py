"""The admin's forms of workflows: the document as text, and what is asked before a version is published."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse
from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from agentplatform.lib.errors import Invalid
from agentplatform.lib.json import dumps
from agents import validation
from agents.admin_forms import Cleaned, ConfigurationForm
from agents.models import Workflow, name_validator
from agents.versions import history
from agents.workflows import drafts
from agents.workflows.editor import NEW
from agents.workflows.text import LONGEST_TEXT

MOST_OFFERED = 100
MOST_SHOWN = 20


def texts() -> dict[str, str]:
    """What the editor says, in the reader's language."""
    return {
        "document": _("Workflow document"),
        "no_faults": _("Nothing is wrong with it."),
        "faults": _("Problems"),
        "line": _("line {line}"),
        "picture": _("Picture"),
        "checking": _("Checking …"),
        "unreachable": _("It could not be checked. Trying again with the next change."),
        "no_picture": _("There is a picture as soon as the text can be read."),
    }


class EditorWidget(UnfoldAdminTextareaWidget):
    """A text area that `static/workflows/editor.js` makes an editor of; without scripts it stays what it is."""

    def __init__(self) -> None:
        written = lazy(lambda: dumps(texts()).decode(), str)
        super().__init__(
            attrs={
                "rows": 30,
                "spellcheck": "false",
                "wrap": "off",
                "data-workflow-editor": "",
                "data-texts": written(),
            }
        )

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        here = {
            "data-check": reverse("admin:agents_workflow_check"),
            "data-vocabulary": reverse("admin:agents_workflow_vocabulary"),
        }
        return super().get_context(name, value, {**(attrs or {}), **here})


class WorkflowForm(ConfigurationForm):
    """Name, description and tags stand in the document."""

    instance: Workflow
    text = forms.CharField(
        label=gettext_lazy("Document"),
        max_length=LONGEST_TEXT,
        strip=False,
        widget=EditorWidget,
        help_text=gettext_lazy("YAML or JSON. It is saved as a draft; what runs is the published version."),
    )

    class Meta:
        model = Workflow
        fields = ["enabled"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.draft: drafts.Draft | None = None
        is_new = self.instance._state.adding
        self.initial.setdefault("text", NEW if is_new else drafts.export(self.instance))
        self.fields["text"].widget.attrs |= {
            "data-workflow": "" if is_new else str(self.instance.pk),
            "data-workspace": "" if is_new else str(self.instance.workspace_id),
        }

    def clean_text(self) -> str:
        """As it is stored: browsers send lines with two characters at their ends."""
        text: str = self.cleaned_data["text"]
        return text.replace("\r\n", "\n")

    def clean(self) -> Cleaned:
        self._read(self.cleaned_data)
        return super().clean()

    def _read(self, cleaned: Cleaned) -> None:
        workspace = cleaned.get("workspace") or getattr(self.instance, "workspace", None)
        if workspace is None or not cleaned.get("text"):
            return
        name = "" if self.instance._state.adding else self.instance.name
        try:
            draft = drafts.read(workspace.pk, cleaned["text"], name)
        except Invalid as error:
            self.add_error("text", [entry["message"] for entry in error.details])
            return
        cleaned["name"] = draft.data.get("name", name)
        if draft.faults:
            self.add_error("text", [_said(fault) for fault in draft.faults_json()[:MOST_SHOWN]])
        elif not cleaned["name"]:
            self.add_error("text", _("Give it a name: it has none yet."))
        self.draft = draft

    def check(self, cleaned: Cleaned) -> None:
        self._report_name(cleaned["name"])

    def _report_name(self, name: str) -> None:
        try:
            name_validator(name)
        except forms.ValidationError as error:
            raise Invalid({"text": f"name: {error.message}"}) from error
        validation.check_name(name)

    def add_error(self, field: str | None, error: Any) -> None:
        """What is wrong with the name is wrong in the document."""
        super().add_error("text" if field == "name" else field, error)


def _said(fault: dict[str, Any]) -> str:
    line = _("line {line}").format(line=fault["line"]) if fault["line"] else ""
    return " · ".join(filter(None, [line, fault["path"], fault["message"]]))


class PublishForm(BaseDialogForm):
    """Carries the version that was published when it was opened, so that nobody publishes over another unseen."""

    replaces = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.workflow = Workflow.objects.select_related("published").get(pk=str(self.object_id))
        published = self.workflow.published
        self.initial["replaces"] = published.number if published else None


class RollbackForm(PublishForm):
    number = forms.TypedChoiceField(
        label=gettext_lazy("Version"), coerce=int, widget=UnfoldAdminSelectWidget, choices=()
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        versions = history(self.workflow.kind, self.workflow).exclude(number=self.initial["replaces"])
        field = self.fields["number"]
        assert isinstance(field, forms.TypedChoiceField)
        field.choices = [
            (version.number, f"v{version.number} · {version.created_at:%Y-%m-%d %H:%M} · {version.author}")
            for version in versions.defer("data")[:MOST_OFFERED]
        ]
