"""The verbs of a run in the admin: for a selection in the list, and as buttons on a run's page.

They go through `runs.commands` as the signed-in user, like those of the API, so that permission and state
are judged in one place. Each run's outcome is told in a message of its own. The buttons ask before they
act: what opens is a dialog, and only its submission (a POST with the token against forgery) changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.dataclasses import ActionDialog, UnfoldAction
from unfold.decorators import action
from unfold.enums import ActionVariant

from accounts.actor import Actor
from accounts.admin_base import TenantModelAdmin
from agentplatform.lib.errors import PlatformError
from runs import live
from runs.commands import cancel_run, enqueue_run, pause_run, resume_run, retry_run
from runs.models import TERMINAL, Run, Status
from runs.pages import may_control

# A page's worth, so that one request never works through a whole table.
MOST_AT_ONCE = 100

# What else can be done to a run that has not ended.
BUTTONS: dict[str, set[str]] = {
    Status.CREATED: {"start_this"},
    Status.QUEUED: {"pause_this"},
    Status.RUNNING: {"pause_this"},
    Status.PAUSING: {"resume_this"},
    Status.PAUSED: {"resume_this"},
}

# Acts as somebody on a run; answers the run to look at afterwards, and what to say.
Verb = Callable[[Actor, UUID], tuple[UUID, str]]


def cancel(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    live.announce(cancel_run(actor, run_id))
    return run_id, _("Run %(run)s is cancelled.") % {"run": run_id}


def pause(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    status, events = pause_run(actor, run_id)
    live.announce(events)
    if status == Status.PAUSED:
        return run_id, _("Run %(run)s is paused.") % {"run": run_id}
    return run_id, _("Run %(run)s pauses as soon as what it is doing has ended.") % {"run": run_id}


def resume(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    _status, events = resume_run(actor, run_id)
    live.announce(events)
    return run_id, _("Run %(run)s goes on.") % {"run": run_id}


def retry(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    started = retry_run(actor, run_id)
    live.announce(started.events)
    new_id = started.run.pk
    return new_id, _("Run %(run)s is tried again as run %(new)s.") % {"run": run_id, "new": new_id}


def start(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    live.announce(enqueue_run(actor, run_id))
    return run_id, _("Run %(run)s is queued.") % {"run": run_id}


def buttons_for(status: str) -> set[str]:
    """The names of the buttons that make sense on a run in this state."""
    if status in TERMINAL:
        return {"watch", "retry_this"}
    return {"watch", "cancel_this"} | BUTTONS.get(status, set())


def asking(title: Any, description: Any, submit: Any) -> ActionDialog:
    return ActionDialog(title=title, description=description, form_class=None, form_submit_text=submit)


class RunVerbs(TenantModelAdmin):
    """Mixin of the run's admin."""

    actions = ["pause_selected", "resume_selected", "cancel_selected", "retry_selected", "start_selected"]
    actions_detail = ["watch", "start_this", "pause_this", "resume_this", "cancel_this", "retry_this"]

    def has_control_permission(self, request: HttpRequest, run: Run | str | None = None) -> bool:
        """Whether the user may steer runs: this one, which may be given by its id, or any."""
        if run is None:
            return self.may(request, "control:run")
        found = self.get_object(request, run) if isinstance(run, str) else run
        return found is not None and may_control(self.actor(request, found.workspace_id), found)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[UnfoldAction]:
        """Only the buttons that make sense now."""
        run = self.get_object(request, object_id)
        wanted = buttons_for(run.status) if run else set()
        offered = super().get_actions_detail(request, object_id)
        return [button for button in offered if button.method.original_function_name in wanted]

    # --- a selection in the list ---

    @action(description=gettext_lazy("Pause"), permissions=["control"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, pause)

    @action(description=gettext_lazy("Resume"), permissions=["control"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, resume)

    @action(description=gettext_lazy("Cancel"), permissions=["control"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, cancel)

    @action(description=gettext_lazy("Retry"), permissions=["control"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, retry)

    @action(description=gettext_lazy("Start"), permissions=["control"])
    def start_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, start)

    def _each(self, request: HttpRequest, queryset: QuerySet[Run], verb: Verb) -> None:
        chosen = list(queryset.values_list("pk", "workspace_id")[: MOST_AT_ONCE + 1])
        for run_id, workspace_id in chosen[:MOST_AT_ONCE]:
            self._act(request, workspace_id, run_id, verb)
        if len(chosen) > MOST_AT_ONCE:
            text = _("Only the first %(most)s runs were taken. Repeat this for the others.")
            messages.warning(request, text % {"most": MOST_AT_ONCE})

    def _act(self, request: HttpRequest, workspace_id: UUID, run_id: UUID, verb: Verb) -> UUID:
        """Does it, says how it went, and answers the run to look at."""
        try:
            shown, text = verb(self.actor(request, workspace_id), run_id)
        except PlatformError as error:
            messages.error(request, _("Run %(run)s: %(reason)s") % {"run": run_id, "reason": error.message})
            return run_id
        messages.success(request, text)
        return shown

    # --- one run's page ---

    @action(
        description=gettext_lazy("Watch live"),
        url_path="watch",
        icon="play_circle",
        variant=ActionVariant.PRIMARY,
    )
    def watch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("run-live", args=[self._run(request, object_id).pk]))

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
        return self._act_here(request, object_id, start)

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
        return self._act_here(request, object_id, pause)

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
        return self._act_here(request, object_id, resume)

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
        return self._act_here(request, object_id, cancel)

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
        return self._act_here(request, object_id, retry)

    def _act_here(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        run = self._run(request, object_id)
        page = reverse("admin:runs_run_change", args=[self._act(request, run.workspace_id, run.pk, verb)])
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": page})
        return HttpResponseRedirect(page)

    def _run(self, request: HttpRequest, object_id: str) -> Run:
        run = self.get_object(request, object_id)
        if run is None:
            raise Http404
        return run
