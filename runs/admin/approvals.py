"""The inbox in the admin: tool calls that wait for a person, and the buttons that decide them."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.actor import Actor
from accounts.admin_base import TenantForm
from runs import approvals, live
from runs.admin.acts import Acts, asking
from runs.admin.approval_forms import EditForm, RejectForm
from runs.admin.lists import Choices, GrowingTableAdmin, WorkspaceFilter
from runs.admin.sections import FOLDED, as_written, when
from runs.approvals import Decision
from runs.models import TERMINAL, Approval

ALL = "all"
PENDING = Approval.Status.PENDING
colour_by_status = {
    Approval.Status.PENDING: "warning",
    Approval.Status.APPROVED: "success",
    Approval.Status.EDITED: "success",
    Approval.Status.REJECTED: "danger",
}


class ApprovalStatusFilter(SimpleListFilter):
    """Those that wait, unless others are asked for."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [*Approval.Status.choices, (ALL, _("All"))]

    def choices(self, changelist: Any) -> Any:
        for key, title in self.lookup_choices:
            yield {
                "selected": key == (self.value() or PENDING),
                "query_string": changelist.get_query_string({self.parameter_name: key}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All for an action: it tells of each selected one that somebody else has decided meanwhile."""
        chosen = self.value() or PENDING
        return queryset if chosen == ALL or request.method == "POST" else queryset.filter(status=chosen)


def decide(decision: Decision, actor: Actor, approval_id: UUID) -> tuple[UUID, str]:
    """What is said names the tool, because several are decided at once."""
    approval, events = approvals.decide(actor, approval_id, decision)
    live.announce(events)
    said = {
        "approve": _("The call of %(tool)s is approved."),
        "edit": _("The call of %(tool)s is changed and approved."),
        "reject": _("The call of %(tool)s is rejected."),
    }
    return approval_id, said[decision.verb] % {"tool": approval.tool}


class ApprovalFields(TenantForm):
    """Nobody fills it in: it says what the page calls the approval's fields."""

    class Meta:
        labels = {"step": gettext_lazy("Step"), "call_id": gettext_lazy("Id of the call")}


class ApprovalAdmin(Acts, GrowingTableAdmin):
    permission_resource = "approval"
    form = ApprovalFields
    refusal = gettext_lazy("Approval %(id)s: %(reason)s")
    only_some = gettext_lazy("Only the first %(most)s approvals were taken. Repeat this for the others.")
    list_display = ["call", "state", "asked", "of_run", "until", "created", "workspace"]
    list_filter = [ApprovalStatusFilter, "kind", WorkspaceFilter]
    list_select_related = ["workspace", "run"]
    search_help_text = gettext_lazy("Beginning of an id, or the name of a tool")
    actions = ["approve_selected", "reject_selected"]
    actions_detail = ["approve_this", "edit_this", "reject_this"]
    fieldsets = [
        (None, {"fields": [("status", "workspace"), ("tool", "kind"), "whole_arguments", "of_run"]}),
        (
            gettext_lazy("Decision"),
            {
                "fields": [
                    ("deadline", "default"),
                    ("decided_by", "decided_at"),
                    "reason",
                    "changed_arguments",
                    "given_result",
                ]
            },
        ),
        (
            gettext_lazy("Technical"),
            {"classes": ["collapse"], "fields": ["id", ("step", "call_id"), "created_at"]},
        ),
    ]
    readonly_fields = ["whole_arguments", "changed_arguments", "given_result", "of_run"]

    class Media:
        css = {"all": ["runs/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Of the run, only what is shown beside it: runs are large."""
        own = (field.name for field in Approval._meta.fields)
        of_run = ("run__agent_name", "run__workflow_name", "run__status", "run__user_id")
        of_workspace = ("workspace__slug", "workspace__name")
        rows = super().get_queryset(request).select_related("run", "workspace")
        return rows.only(*own, *of_run, *of_workspace)

    def called(self, term: str, queryset: QuerySet[Any]) -> Q:
        return Q(tool=term)

    def named(self, approval: Approval) -> str:
        return Truncator(f"{approval.tool} {json.dumps(approval.arguments, ensure_ascii=False)}").chars(200)

    def has_decide_permission(self, request: HttpRequest, approval: Approval | str | None = None) -> bool:
        """Whether the user may decide: this one, which may be given by its id, or any."""
        if approval is None:
            return self.may(request, "decide:approval")
        found = self.get_object(request, approval) if isinstance(approval, str) else approval
        return found is not None and approvals.may_decide(self.actor(request, found.workspace_id), found.run)

    def buttons_for(self, approval: Approval) -> set[str]:
        is_open = approval.status == PENDING and approval.run.status not in TERMINAL
        return {"approve_this", "edit_this", "reject_this"} if is_open else set()

    # --- a selection in the list ---

    @action(description=gettext_lazy("Approve"), permissions=["decide"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        verb = partial(decide, Decision("approve"))
        question = _("Each is made as the model has asked for it, and its run goes on.")
        return self.confirmed(request, queryset, verb, _("Approve these calls?"), question)

    @action(description=gettext_lazy("Reject"), permissions=["decide"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        verb = partial(decide, Decision("reject"))
        question = _("None is made. The model is told so, and each run goes on.")
        return self.confirmed(request, queryset, verb, _("Reject these calls?"), question)

    # --- one approval's page ---

    @action(
        description=gettext_lazy("Approve"),
        url_path="approve",
        icon="check_circle",
        variant=ActionVariant.PRIMARY,
        permissions=["decide"],
        dialog=asking(
            gettext_lazy("Approve this call?"),
            gettext_lazy("It is made as the model has asked for it, and the run goes on."),
            gettext_lazy("Approve"),
        ),
    )
    def approve_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, partial(decide, Decision("approve")))

    @action(
        description=gettext_lazy("Edit"),
        url_path="edit",
        icon="edit",
        permissions=["decide"],
        dialog=asking(
            gettext_lazy("Approve this call with changes?"),
            gettext_lazy("It is made with the arguments as you leave them here, and the run goes on."),
            gettext_lazy("Approve with changes"),
            EditForm,
        ),
    )
    def edit_this(self, request: HttpRequest, form: EditForm, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, partial(decide, form.decision()))

    @action(
        description=gettext_lazy("Reject"),
        url_path="reject",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["decide"],
        dialog=asking(
            gettext_lazy("Reject this call?"),
            gettext_lazy("It is not made. The model is told so, with your reason, and the run goes on."),
            gettext_lazy("Reject"),
            RejectForm,
        ),
    )
    def reject_this(self, request: HttpRequest, form: RejectForm, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, partial(decide, form.decision()))

    # --- columns ---

    @display(description=gettext_lazy("tool"))
    def call(self, approval: Approval) -> str:
        return approval.tool

    @display(description=gettext_lazy("status"), label=colour_by_status)
    def state(self, approval: Approval) -> tuple[str, str]:
        return approval.status, approval.get_status_display()

    @display(description=gettext_lazy("arguments"))
    def asked(self, approval: Approval) -> str:
        text = json.dumps(approval.arguments, ensure_ascii=False)
        return text if len(text) <= FOLDED else f"{text[:FOLDED]}…"

    @display(description=gettext_lazy("run"))
    def of_run(self, approval: Approval) -> str:
        page = reverse("admin:runs_run_change", args=[approval.run_id])
        return format_html('<a class="live-link" href="{}">{}</a>', page, approval.run.executes)

    @display(description=gettext_lazy("deadline (UTC)"))
    def until(self, approval: Approval) -> str:
        """With what happens then."""
        if approval.deadline is None:
            return "–"
        default = approval.get_default_display()
        return format_html('<span class="platform-nowrap">{}</span> · {}', when(approval.deadline), default)

    @display(description=gettext_lazy("created (UTC)"))
    def created(self, approval: Approval) -> str:
        return format_html('<span class="platform-nowrap">{}</span>', when(approval.created_at))

    @display(description=gettext_lazy("arguments"))
    def whole_arguments(self, approval: Approval) -> str:
        return as_json(approval.arguments)

    @display(description=gettext_lazy("edited arguments"))
    def changed_arguments(self, approval: Approval) -> str:
        return as_json(approval.edited) if approval.edited is not None else ""

    @display(description=gettext_lazy("result"))
    def given_result(self, approval: Approval) -> str:
        return as_json(approval.result["value"]) if approval.result else ""


def as_json(value: Any) -> str:
    return as_written(json.dumps(value, indent=2, ensure_ascii=False))
