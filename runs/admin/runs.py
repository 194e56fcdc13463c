"""Runs in the admin, and what else the room shows there. What happened is read-only; `runs.admin.verbs` acts on it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.views import ChangeList as UnfoldChangeList

from agentplatform.lib.admin_lists import SinceFilter
from agentplatform.lib.decimals import plain
from agentplatform.lib.javascript import scripts
from runs.admin.approvals import ApprovalAdmin
from runs.admin.budget import Budgeted
from runs.admin.checkpoints import Branching
from runs.admin.following import Followed
from runs.admin.lists import (
    AgentFilter,
    GrowingTableAdmin,
    StatusFilter,
    WorkspaceFilter,
    visible_runs,
)
from runs.admin.memories import MemoryAdmin
from runs.admin.playground import Playground
from runs.admin.requeue import Requeueing
from runs.admin.schedules import ScheduleAdmin
from runs.admin.sections import (
    WithSections,
    as_written,
    event_page,
    run_sections,
    when,
)
from runs.admin.sessions import SessionAdmin
from runs.admin.webhooks import WebhookAdmin
from runs.admin.workers import WorkerAdmin
from runs.models import TERMINAL, Approval, Memory, Run, Schedule, Session, Status, Webhook, Worker
from runs.pages import drawing_of

# Columns that may be long; a list does not read them.
HEAVY = ("input", "input_query", "response_content", "error", "config", "limits", "metadata", "pins")
LONGEST_QUESTION = 80
colour_by_status = {
    Status.QUEUED: "info",
    Status.RUNNING: "primary",
    Status.PAUSING: "warning",
    Status.PAUSED: "warning",
    Status.WAITING: "warning",
    Status.COMPLETED: "success",
    Status.FAILED: "danger",
}


class RunList(UnfoldChangeList):
    """The list reads only what it shows: a page of runs can hold megabytes of text."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        return rows.defer(*HEAVY).annotate(beginning=Left("input_query", LONGEST_QUESTION + 1))


@admin.register(Run)
class RunAdmin(Playground, Followed, Branching, WithSections, Requeueing, Budgeted, GrowingTableAdmin):
    permission_resource = "run"
    actions_detail = ["resume_with_more", *Requeueing.actions_detail, *Branching.actions_detail]
    list_display = [
        "question", "state", "executed", "started_by", "tokens", "money", "seconds", "created", "workspace",
        "live",
    ]  # fmt: skip
    list_filter = [StatusFilter, AgentFilter, SinceFilter, WorkspaceFilter]
    list_select_related = ["workspace"]
    search_help_text = gettext_lazy("Beginning of an id, an end user, or the id of a request")
    fieldsets = [
        (None, {"fields": [("status", "workspace"), "asked", "answered", "failure"]}),
        (
            gettext_lazy("Who and what"),
            {
                "fields": [
                    ("agent", "agent_version"),
                    ("workflow", "workflow_version"),
                    ("session", "end_user"),
                    ("parent", "relation"),
                    ("started_by", "api_key_name"),
                    "tags",
                ]
            },
        ),
        (gettext_lazy("Used"), {"fields": [("total_steps", "tokens"), ("money", "seconds")]}),
        (gettext_lazy("Times"), {"fields": [("created_at", "queued_at"), ("started_at", "finished_at")]}),
        (
            gettext_lazy("Technical"),
            {
                "classes": ["collapse"],
                "fields": [
                    "id",
                    "input",
                    "config",
                    "limits",
                    "metadata",
                    "request_id",
                    ("attempt", "losses"),
                    ("priority", "worker_id"),
                ],
            },
        ),
    ]
    readonly_fields = ["asked", "answered", "failure", "started_by", "tokens", "money", "seconds"]

    class Media:
        css = {"all": ["runs/admin.css", "workflows/picture.css", "workflows/editor.css"]}
        js = scripts("workflows/run_picture.js", "live/run.js")

    @admin.display(description=gettext_lazy("Agent or workflow"))
    def executed(self, run: Run) -> str:
        return run.executes

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """What a request has started; what no request is called like, as in other lists."""
        term = search_term.strip()
        if term and (started := queryset.filter(request_id=term)).exists():
            return started, False
        return super().get_search_results(request, queryset, search_term)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunList

    def get_urls(self) -> list[URLPattern]:
        events = self.admin_site.admin_view(self.events_view)
        return [path("<uuid:object_id>/events/", events, name="runs_run_events"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """A workflow's run has its picture, which goes on by itself as long as the run does."""
        if obj and obj.is_workflow:
            context |= {"picture": drawing_of(obj), "follows": obj.status not in TERMINAL}
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def sections(self, request: HttpRequest, obj: Run) -> list[Any]:
        return run_sections(obj, visible_runs(request))

    def events_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """All of a run's events, page by page; `?after=` is the last number of the page before."""
        run = self.row(request, str(object_id))
        after = request.GET.get("after", "0")
        section, following = event_page(run, int(after) if after.isdecimal() and len(after) < 18 else 0)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Events of run %(run)s") % {"run": run.pk},
            "original": run,
            "sections": [section],
            "media": self.media,
            "following": following,
        }
        return TemplateResponse(request, "admin/runs/events.html", context)

    # --- columns ---

    @display(description=gettext_lazy("question"))
    def question(self, run: Any) -> str:
        text = " ".join(run.beginning.split())
        return f"{text[:LONGEST_QUESTION]}…" if len(run.beginning) > LONGEST_QUESTION else text or str(run.pk)

    @display(description=gettext_lazy("status"), label=colour_by_status)
    def state(self, run: Run) -> tuple[str, str]:
        return run.status, run.get_status_display()

    @display(description=gettext_lazy("started by"))
    def started_by(self, run: Run) -> str:
        return f"{run.username} ({run.end_user})" if run.end_user else run.username

    @display(description=gettext_lazy("tokens"))
    def tokens(self, run: Run) -> int:
        return run.total_tokens

    @display(description=gettext_lazy("cost"))
    def money(self, run: Run) -> str:
        """The sum of the calls that have a price."""
        if run.has_unpriced_calls and not run.total_cost:
            return "–"
        return f"{plain(run.total_cost)} {run.currency}"

    @display(description=gettext_lazy("seconds"))
    def seconds(self, run: Run) -> float:
        return run.duration

    @display(description=gettext_lazy("question"))
    def asked(self, run: Run) -> str:
        return as_written(run.input_query)

    @display(description=gettext_lazy("answer"))
    def answered(self, run: Run) -> str:
        return as_written(run.response_content)

    @display(description=gettext_lazy("created (UTC)"))
    def created(self, run: Run) -> str:
        return format_html('<span class="platform-nowrap">{}</span>', when(run.created_at))

    @display(description=gettext_lazy("error"))
    def failure(self, run: Run) -> str:
        return f"{run.error['class']}: {run.error['message']}" if run.error else ""

    @display(description="")
    def live(self, run: Run) -> str:
        page = reverse("run-live", args=[run.pk])
        return format_html('<a class="live-link" href="{}">{}</a>', page, _("Watch"))


admin.site.register(Session, SessionAdmin)
admin.site.register(Worker, WorkerAdmin)
admin.site.register(Approval, ApprovalAdmin)
admin.site.register(Schedule, ScheduleAdmin)
admin.site.register(Memory, MemoryAdmin)
admin.site.register(Webhook, WebhookAdmin)
