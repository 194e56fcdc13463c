"""Schedules in the admin: what is due when, and the buttons that pause, resume and trigger. The API makes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.actor import Actor
from runs import live
from runs.admin.acts import asking
from runs.admin.lists import AgentFilter, WorkspaceFilter
from runs.admin.operated import OperatedAdmin
from runs.models import Schedule
from runs.schedules import editing


def pause(actor: Actor, schedule_id: UUID) -> tuple[UUID, str]:
    return schedule_id, _("%(name)s is paused.") % {"name": editing.pause(actor, schedule_id).name}


def resume(actor: Actor, schedule_id: UUID) -> tuple[UUID, str]:
    return schedule_id, _("%(name)s goes on.") % {"name": editing.resume(actor, schedule_id).name}


def trigger(actor: Actor, schedule_id: UUID) -> tuple[UUID, str]:
    started = editing.trigger(actor, schedule_id)
    live.announce([*started.others, *started.events])
    return schedule_id, _("Run %(id)s is queued.") % {"id": started.run.pk}


class ScheduleAdmin(OperatedAdmin):
    permission_resource = "schedule"
    refusal = gettext_lazy("Schedule %(id)s: %(reason)s")
    only_some = gettext_lazy("Only the first %(most)s schedules were taken. Repeat this for the others.")
    list_display = [
        "name",
        "agent",
        "user",
        "cron",
        "timezone",
        "state",
        "next_run_at",
        "last_run_at",
        "workspace",
    ]
    list_filter = ["enabled", AgentFilter, WorkspaceFilter]
    list_select_related = ["agent", "user", "workspace"]
    actions = ["pause_selected", "resume_selected"]
    actions_detail = ["pause_this", "resume_this", "trigger_this"]
    fieldsets = [
        (None, {"fields": [("name", "workspace"), ("agent", "user"), ("enabled", "pause_reason")]}),
        (
            gettext_lazy("Times"),
            {"fields": [("cron", "timezone"), "catch_up", ("next_run_at", "last_run_at"), "last_run"]},
        ),
        (
            gettext_lazy("Run"),
            {
                "fields": [
                    "input",
                    ("session", "end_user"),
                    "config",
                    "limits",
                    "metadata",
                    ("tags", "priority"),
                ]
            },
        ),
    ]
    readonly_fields = ["last_run"]

    def buttons_for(self, schedule: Schedule) -> set[str]:
        return {"trigger_this", "pause_this" if schedule.enabled else "resume_this"}

    # --- a selection in the list ---

    @action(description=gettext_lazy("Pause"), permissions=["operate"])
    def pause_selected(self, request: HttpRequest, queryset: Any) -> None:
        self.act_on_each(request, queryset, pause)

    @action(description=gettext_lazy("Resume"), permissions=["operate"])
    def resume_selected(self, request: HttpRequest, queryset: Any) -> None:
        self.act_on_each(request, queryset, resume)

    # --- one schedule's page ---

    @action(
        description=gettext_lazy("Trigger"),
        url_path="trigger",
        icon="play_arrow",
        permissions=["operate"],
        dialog=asking(
            gettext_lazy("Trigger this schedule?"),
            gettext_lazy("A run starts now, as the owner's. When the next one is due stays as it is."),
            gettext_lazy("Trigger"),
        ),
    )
    def trigger_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, trigger)

    @action(
        description=gettext_lazy("Pause"),
        url_path="pause",
        icon="pause",
        permissions=["operate"],
        dialog=asking(
            gettext_lazy("Pause this schedule?"),
            gettext_lazy("It starts no runs until it is resumed."),
            gettext_lazy("Pause"),
        ),
    )
    def pause_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, pause)

    @action(
        description=gettext_lazy("Resume"),
        url_path="resume",
        icon="resume",
        variant=ActionVariant.PRIMARY,
        permissions=["operate"],
        dialog=asking(
            gettext_lazy("Resume this schedule?"),
            gettext_lazy("It goes on with its next moment. What it has missed is not made up for."),
            gettext_lazy("Resume"),
        ),
    )
    def resume_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, resume)

    # --- columns ---

    @display(description=gettext_lazy("state"), label={"active": "success", "paused": "warning"})
    def state(self, schedule: Schedule) -> tuple[str, str]:
        return ("active", _("Active")) if schedule.enabled else ("paused", _("Paused"))

    @display(description=gettext_lazy("run"))
    def last_run(self, schedule: Schedule) -> str:
        if schedule.last_run_id is None:
            return "–"
        page = reverse("admin:runs_run_change", args=[schedule.last_run_id])
        return format_html('<a class="live-link" href="{}">{}</a>', page, _("Open the run"))
