"""Workflows in the admin, with what only this room knows of them: how their last run went, and running one now."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from agentplatform.lib.errors import PlatformError
from agents.admin_workflows import WorkflowAdmin, leading_to
from agents.models import Workflow
from agents.workflows.document import input_schema
from runs import live
from runs.admin.acts import asking
from runs.admin.runs import colour_by_status
from runs.commands import RunRequest, start_run
from runs.models import Run, Status


class InputForm(BaseDialogForm):
    """The input of a run, beginning with an example that has the right fields."""

    values = forms.JSONField(
        label=gettext_lazy("Input (JSON)"), widget=UnfoldAdminTextareaWidget(attrs={"rows": 8})
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        workflow = Workflow.objects.select_related("published").get(pk=self.object_id)
        document = workflow.published.data["document"] if workflow.published else workflow.document
        self.initial["values"] = example_of(input_schema(document))

    def clean_values(self) -> dict[str, Any]:
        values = self.cleaned_data["values"]
        if not isinstance(values, dict):
            raise forms.ValidationError(gettext_lazy("Give a JSON object."))
        return values


def example_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Each field with its default, else an empty value of its type."""
    empty: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    properties = schema.get("properties", {})
    return {name: one.get("default", empty.get(str(one.get("type")), "")) for name, one in properties.items()}


@admin.register(Workflow)
class RunnableWorkflowAdmin(WorkflowAdmin):
    list_display = [
        *("name", "version_number", "published_number", "last_run", "tags", "enabled", "workspace"),
        "updated_at",
    ]
    actions_detail = ["run_this", *WorkflowAdmin.actions_detail]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The last run of each is one look into an index."""
        last = Run.objects.filter(workflow=OuterRef("pk")).order_by("-id").values("status")[:1]
        return super().get_queryset(request).annotate(last_status=Subquery(last))

    @display(description=gettext_lazy("last run"), label=colour_by_status)
    def last_run(self, workflow: Any) -> tuple[str, str] | str:
        status = workflow.last_status
        return (status, str(Status(status).label)) if status else ""

    def has_execute_permission(self, request: HttpRequest, obj: Model | str | None = None) -> bool:
        row = self.get_object(request, obj) if isinstance(obj, str) else obj
        return (row is not None or obj is None) and self.may(request, "execute:workflow", row)

    @action(
        description=gettext_lazy("Run now"),
        url_path="run",
        icon="play_circle",
        variant=ActionVariant.PRIMARY,
        permissions=["execute"],
        dialog=asking(
            gettext_lazy("Run the published version?"),
            gettext_lazy("A worker takes it up at once. You can watch it live."),
            gettext_lazy("Run"),
            InputForm,
        ),
    )
    def run_this(self, request: HttpRequest, form: InputForm, object_id: str) -> HttpResponse:
        workflow = self.row(request, object_id)
        asked = RunRequest(workflow=str(workflow.pk), values=form.cleaned_data["values"])
        try:
            started = start_run(self.actor(request, workflow.workspace_id), asked)
        except PlatformError as error:
            messages.error(request, self._refusal(error))
            return leading_to(request, self._page("change", workflow))
        live.announce([*started.others, *started.events])
        return leading_to(request, reverse("run-live", args=[started.run.pk]))
