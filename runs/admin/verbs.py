"""The verbs of a run in the admin, for a selection in the list and as buttons on a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.actor import Actor
from runs import live
from runs.admin.acts import Acts, asking
from runs.commands import cancel_run, enqueue_run, pause_run, resume_run, retry_run
from runs.models import TERMINAL, Relation, Run, Status
from runs.pages import may_control

# What else can be done to a run that has not ended.
BUTTONS: dict[str, set[str]] = {
    Status.CREATED: {"start_this"},
    Status.QUEUED: {"pause_this"},
    Status.RUNNING: {"pause_this"},
    Status.PAUSING: {"resume_this"},
    Status.PAUSED: {"resume_this"},
    Status.WAITING: {"pause_this"},
}


def cancel(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    live.announce(cancel_run(actor, run_id))
    return run_id, _("Run %(run)s is cancelled.") % {"run": run_id}


def pause(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    status, events = pause_run(actor, run_id)
    live.announce(events)
    if status == Status.PAUSED:
        return run_id, _("Run %(run)s is paused.") % {"run": run_id}
    return run_id, _("Run %(run)s pauses as soon as what it is doing has ended.") % {"run": run_id}


def resume(actor: Actor, run_id: UUID, limits: Mapping[str, Any] | None = None) -> tuple[UUID, str]:
    _status, events = resume_run(actor, run_id, limits)
    live.announce(events)
    return run_id, _("Run %(run)s goes on.") % {"run": run_id}


def retry(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    started = retry_run(actor, run_id)
    live.announce(started.events)
    new_id = started.run.pk
    return new_id, _("Run %(run)s is tried again as run %(new)s.") % {"run": run_id, "new": new_id}


def start(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    _status, events = enqueue_run(actor, run_id)
    live.announce(events)
    return run_id, _("Run %(run)s is queued.") % {"run": run_id}


class RunVerbs(Acts):
    """Mixin of the run's admin."""

    refusal = gettext_lazy("Run %(id)s: %(reason)s")
    only_some = gettext_lazy("Only the first %(most)s runs were taken. Repeat this for the others.")

    actions = ["pause_selected", "resume_selected", "cancel_selected", "retry_selected", "start_selected"]
    actions_detail = ["watch", "start_this", "pause_this", "resume_this", "cancel_this", "retry_this"]

    def has_control_permission(self, request: HttpRequest, run: Run | str | None = None) -> bool:
        """Whether the user may steer runs: this one, which may be given by its id, or any."""
        if run is None:
            return self.may(request, "control:run")
        found = self.get_object(request, run) if isinstance(run, str) else run
        return found is not None and may_control(self.actor(request, found.workspace_id), found)

    def buttons_for(self, run: Run) -> set[str]:
        """The names of the buttons that make sense on a run as it is."""
        if run.status in TERMINAL:
            return {"watch", "retry_this"}
        return {"watch", "cancel_this"} | BUTTONS.get(run.status, set()) | self._waking_children(run)

    def _waking_children(self, run: Run) -> set[str]:
        """A run that waits for one that its tools have started goes on when that one is resumed."""
        resting = run.children.filter(relation=Relation.CHILD, status=Status.PAUSED)
        return {"resume_this"} if run.status == Status.WAITING and resting.exists() else set()

    def named(self, run: Any) -> str:
        question = " ".join(run.beginning.split()) if hasattr(run, "beginning") else str(run.pk)
        return f"{run.executes} · {run.get_status_display()} · {question}"

    # --- a selection in the list ---

    @action(description=gettext_lazy("Pause"), permissions=["control"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.act_on_each(request, queryset, pause)

    @action(description=gettext_lazy("Resume"), permissions=["control"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.act_on_each(request, queryset, resume)

    @action(description=gettext_lazy("Cancel"), permissions=["control"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        question = _("They stop at once, and what they have not finished is lost.")
        return self.confirmed(request, queryset, cancel, _("Cancel these runs?"), question)

    @action(description=gettext_lazy("Retry"), permissions=["control"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        question = _("Each gets a new run with the same input, which is paid for again.")
        return self.confirmed(request, queryset, retry, _("Try these runs again?"), question)

    @action(description=gettext_lazy("Start"), permissions=["control"])
    def start_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.act_on_each(request, queryset, start)

    # --- one run's page ---

    @action(
        description=gettext_lazy("Watch live"),
        url_path="watch",
        icon="play_circle",
        variant=ActionVariant.PRIMARY,
    )
    def watch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("run-live", args=[self.row(request, object_id).pk]))

    @action(
        description=gettext_lazy("Start"),
        url_path="start",
        icon="play_arrow",
        permissions=["control"],
        dialog=asking(
            gettext_lazy("Start this run?"), gettext_lazy("A worker takes it up."), gettext_lazy("Start")
        ),
    )
    def start_this(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, start)

    @action(
        description=gettext_lazy("Pause"),
        url_path="pause",
        icon="pause_circle",
        permissions=["control"],
        dialog=asking(
            gettext_lazy("Pause this run?"),
            gettext_lazy(
                "It stops as soon as the model call or tool under way has ended, and can be resumed."
            ),
            gettext_lazy("Pause"),
        ),
    )
    def pause_this(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, pause)

    @action(
        description=gettext_lazy("Resume"),
        url_path="resume",
        icon="resume",
        permissions=["control"],
        dialog=asking(
            gettext_lazy("Resume this run?"),
            gettext_lazy("A worker goes on from its last checkpoint."),
            gettext_lazy("Resume"),
        ),
    )
    def resume_this(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, resume)

    @action(
        description=gettext_lazy("Cancel"),
        url_path="cancel",
        icon="stop_circle",
        variant=ActionVariant.DANGER,
        permissions=["control"],
        dialog=asking(
            gettext_lazy("Cancel this run?"),
            gettext_lazy("It stops at once, and what it has not finished is lost."),
            gettext_lazy("Cancel the run"),
        ),
    )
    def cancel_this(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, cancel)

    @action(
        description=gettext_lazy("Retry"),
        url_path="retry",
        icon="replay",
        permissions=["control"],
        dialog=asking(
            gettext_lazy("Try this run again?"),
            gettext_lazy("A new run gets the same input; this one stays as it is."),
            gettext_lazy("Retry"),
        ),
    )
    def retry_this(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, retry)
