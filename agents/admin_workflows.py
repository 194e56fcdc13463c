"""Workflows in the admin: the editor, publishing and going back, and what has been."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from unfold.dataclasses import ActionDialog
from unfold.decorators import action

from accounts.admin_base import reach
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.javascript import scripts
from agents.admin_base import ConfigurationAdmin
from agents.admin_workflow_forms import PublishForm, RollbackForm, WorkflowForm
from agents.models import Agent, ChatModel, Configuration, Tool, Workflow
from agents.workflows import drafts, editor, publishing

MOST_NAMES = 1_000
_MODELS: dict[str, type[Configuration]] = {
    "agent": Agent,
    "model": ChatModel,
    "tool": Tool,
    "workflow": Workflow,
}


class WorkflowAdmin(ConfigurationAdmin):
    """What needs runs is added where runs are known (`runs.admin.workflows`)."""

    form = WorkflowForm
    permission_resource = "workflow"
    list_display = [
        "name",
        "version_number",
        "published_number",
        "tags",
        "enabled",
        "workspace",
        "updated_at",
    ]
    list_select_related = ["workspace", "version", "published"]
    readonly_fields = [
        "written",
        "version_number",
        "published_number",
        "published_at",
        "created_at",
        "updated_at",
    ]
    actions_detail = ["publish_this", "roll_back_this", "export_this"]

    class Media:
        css = {"all": ["workflows/picture.css", "workflows/editor.css"]}
        js = scripts("workflows/editor.js")

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        may_change = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        body = "text" if may_change else "written"
        shown: list[Any] = [
            ("version_number", "published_number", "published_at"),
            ("created_at", "updated_at"),
        ]
        head = ["workspace", "enabled", body, *(["seen"] if may_change else [])]
        return [(None, {"fields": head}), *([(gettext_lazy("History"), {"fields": shown})] if obj else [])]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request).defer("version__data", "published__data")
        is_list = getattr(request.resolver_match, "url_name", "").endswith("_changelist")
        return (
            queryset.defer("document", "source", "version__data", "published__data") if is_list else queryset
        )

    @admin.display(description=gettext_lazy("published"))
    def published_number(self, workflow: Workflow) -> int | None:
        return workflow.published.number if workflow.published else None

    @admin.display(description=gettext_lazy("document"))
    def written(self, workflow: Workflow) -> str:
        return format_html('<pre class="platform-document">{}</pre>', drafts.export(workflow))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        values = {**form.draft.values, "enabled": form.cleaned_data["enabled"]}
        drafts.save(obj, self.actor(request, obj.workspace_id), values)

    # --- what the editor asks ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("check/", view(self.check_view), name="agents_workflow_check"),
            path("vocabulary/", view(self.vocabulary_view), name="agents_workflow_vocabulary"),
            *super().get_urls(),
        ]

    @method_decorator(require_POST)
    def check_view(self, request: HttpRequest) -> HttpResponse:
        """Looks at a text as it is typed; `agents.workflows.editor.look_at` says what comes back."""
        workspace_id = self._writable(request, request.POST.get("workspace", ""))
        rows = self.get_queryset(request).filter(
            pk=as_uuid(request.POST.get("workflow", "")), workspace_id=workspace_id
        )
        name = rows.values_list("name", flat=True).first() or ""
        return JsonResponse(editor.look_at(workspace_id, request.POST.get("text", ""), name))

    @method_decorator(require_safe)
    def vocabulary_view(self, request: HttpRequest) -> HttpResponse:
        """The schema, and the names in the workspace of what may be read."""
        workspace_id = self._writable(request, request.GET.get("workspace", ""))
        names = {
            kind: list(
                reach(request)
                .rows(model._default_manager.filter(workspace_id=workspace_id), f"read:{kind}")
                .order_by("name")
                .values_list("name", flat=True)[:MOST_NAMES]
            )
            for kind, model in _MODELS.items()
        }
        return JsonResponse(editor.vocabulary(names))

    def _writable(self, request: HttpRequest, written: str) -> uuid.UUID:
        workspace_id = as_uuid(written)
        if workspace_id is None or not reach(request).may("write:workflow", workspace_id):
            raise PermissionDenied
        return workspace_id

    # --- versions ---

    def has_publish_permission(self, request: HttpRequest, obj: Model | str | None = None) -> bool:
        row = self.get_object(request, obj) if isinstance(obj, str) else obj
        return (row is not None or obj is None) and self.may(request, "publish:workflow", row)

    @action(
        description=gettext_lazy("Publish"),
        url_path="publish",
        icon="publish",
        permissions=["publish"],
        dialog=ActionDialog(
            title=gettext_lazy("Publish the draft?"),
            description=gettext_lazy("From now on, new runs execute it as it was last saved."),
            form_class=PublishForm,
            form_submit_text=gettext_lazy("Publish"),
        ),
    )
    def publish_this(self, request: HttpRequest, form: PublishForm, object_id: str) -> HttpResponse:
        return self._publish(request, object_id, None, form.cleaned_data["replaces"])

    @action(
        description=gettext_lazy("Roll back"),
        url_path="roll-back",
        icon="settings_backup_restore",
        permissions=["publish"],
        dialog=ActionDialog(
            title=gettext_lazy("Publish another version?"),
            description=gettext_lazy("From now on, new runs execute it. The draft stays as it is."),
            form_class=RollbackForm,
            form_submit_text=gettext_lazy("Publish"),
        ),
    )
    def roll_back_this(self, request: HttpRequest, form: RollbackForm, object_id: str) -> HttpResponse:
        return self._publish(request, object_id, form.cleaned_data["number"], form.cleaned_data["replaces"])

    def _publish(
        self, request: HttpRequest, object_id: str, number: int | None, replaces: int | None
    ) -> HttpResponse:
        workflow = self.row(request, object_id)
        try:
            published = publishing.publish(workflow, number, replaces).published
        except PlatformError as error:
            messages.error(request, self._refusal(error))
        else:
            assert published
            messages.success(request, _("Version %(number)s is published.") % {"number": published.number})
        return leading_to(request, self._page("change", workflow))

    def _refusal(self, error: PlatformError) -> str:
        entries = error.details if isinstance(error.details, list) else []
        return " ".join([error.message, *(f"{one['field']}: {one['message']}" for one in entries[:3])])

    @action(description=gettext_lazy("Export"), url_path="export", icon="download")
    def export_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        workflow = self.row(request, object_id)
        named = {"Content-Disposition": f'attachment; filename="{workflow.name}.yaml"'}
        return HttpResponse(
            drafts.export(workflow), content_type="application/yaml; charset=utf-8", headers=named
        )

    def row(self, request: HttpRequest, object_id: str) -> Workflow:
        """The workflow, if the user may see it. Raises Http404."""
        workflow: Workflow | None = self.get_object(request, object_id)
        if workflow is None:
            raise Http404
        return workflow

    def _page(self, name: str, workflow: Workflow) -> str:
        return reverse(f"admin:agents_workflow_{name}", args=[workflow.pk])


def leading_to(request: HttpRequest, page: str) -> HttpResponse:
    """To a page, from a dialog or from a plain form."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": page})
    return HttpResponseRedirect(page)
