"""Sessions, runs and workers in the admin. What happened is read-only; `runs.admin_verbs` acts on it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Left
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList as UnfoldChangeList

from accounts.admin_base import reach
from runs import sessions
from runs.admin_lists import AgentFilter, GrowingTableAdmin, SinceFilter, StatusFilter, WorkspaceFilter
from runs.admin_sections import (
    WithSections,
    as_written,
    event_page,
    run_sections,
    runs_of,
    session_sections,
    when,
)
from runs.admin_verbs import RunVerbs
from runs.models import IN_FLIGHT, Run, Session, Status, Worker

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


def visible_runs(request: HttpRequest) -> QuerySet[Any]:
    """The runs that the signed-in user may see."""
    return reach(request).rows(Run.objects.all(), "read:run")


@admin.register(Session)
class SessionAdmin(WithSections, GrowingTableAdmin):
    permission_resource = "session"
    list_display = ["title", "agent", "user", "end_user", "created_at", "updated_at", "workspace"]
    list_filter = [AgentFilter, SinceFilter, WorkspaceFilter]
    list_select_related = ["agent", "user", "workspace"]
    search_help_text = gettext_lazy("Part of a name, beginning of an id, or an end user")
    autocomplete_fields = ["agent"]
    fields = ["workspace", "title", "agent", "end_user", "user", "created_at", "updated_at"]
    readonly_fields = ["user", "created_at", "updated_at"]

    def called(self, term: str) -> Q:
        return super().called(term) | Q(title__icontains=term)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_touch(request, obj, "write")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_touch(request, obj, "delete")

    def save_model(self, request: HttpRequest, obj: Session, form: ModelForm[Session], change: bool) -> None:
        actor = self.actor(request, obj.workspace_id)
        entered = {name: form.cleaned_data[name] for name in form.changed_data if name != "workspace"}
        if change:
            sessions.change_session(actor, obj, **entered)
        else:
            obj.pk = sessions.create_session(actor, **entered).pk

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        sessions.delete_session(self.actor(request, obj.workspace_id), obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for session in queryset:
            self.delete_model(request, session)

    def sections(self, request: HttpRequest, obj: Session) -> list[Any]:
        return session_sections(obj, visible_runs(request))

    def _may_touch(self, request: HttpRequest, obj: Any, verb: str) -> bool:
        """Other people's sessions need a permission of their own."""
        is_own = obj is None or obj.user_id == request.user.pk
        return is_own or self.may(request, f"{verb}:all-sessions", obj)


class RunList(UnfoldChangeList):
    """The list reads only what it shows: a page of runs can hold megabytes of text."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        return rows.defer(*HEAVY).annotate(beginning=Left("input_query", LONGEST_QUESTION + 1))


@admin.register(Run)
class RunAdmin(WithSections, RunVerbs, GrowingTableAdmin):
    permission_resource = "run"
    list_display = [
        "question", "state", "agent_name", "started_by", "tokens", "money", "seconds", "created", "workspace",
        "live",
    ]  # fmt: skip
    list_filter = [StatusFilter, AgentFilter, SinceFilter, WorkspaceFilter]
    list_select_related = ["workspace"]
    fieldsets = [
        (None, {"fields": [("status", "workspace"), "asked", "answered", "failure"]}),
        (
            gettext_lazy("Who and what"),
            {
                "fields": [
                    ("agent", "agent_version"),
                    ("session", "parent"),
                    ("started_by", "api_key_name"),
                    ("end_user", "tags"),
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
                    ("attempt", "losses"),
                    ("priority", "worker_id"),
                ],
            },
        ),
    ]
    readonly_fields = ["asked", "answered", "failure", "started_by", "tokens", "money", "seconds"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunList

    def get_urls(self) -> list[URLPattern]:
        events = self.admin_site.admin_view(self.events_view)
        return [path("<uuid:object_id>/events/", events, name="runs_run_events"), *super().get_urls()]

    def sections(self, request: HttpRequest, obj: Run) -> list[Any]:
        return run_sections(obj)

    def events_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """All of a run's events, page by page; `?after=` is the last number of the page before."""
        run = self._run(request, str(object_id))
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
        return "–" if run.unpriced_calls and not run.cost else f"{run.cost.normalize():f} {run.currency}"

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


@admin.register(Worker)
class WorkerAdmin(WithSections, ModelAdmin):
    """Workers serve all workspaces: whoever steers all runs of one may see them. Nobody edits them."""

    list_display = ["host", "pid", "concurrency", "started_at", "beat_at", "draining"]
    list_filter = ["draining"]
    show_facets = admin.ShowFacets.NEVER

    def has_module_permission(self, request: HttpRequest) -> bool:
        return reach(request).may("control:all-runs")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return reach(request).may("control:all-runs")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def sections(self, request: HttpRequest, obj: Worker) -> list[Any]:
        """The runs in its hands, as far as the user may see them."""
        return [runs_of(visible_runs(request).filter(worker_id=obj.pk, status__in=IN_FLIGHT))]
