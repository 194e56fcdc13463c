"""Stuck runs in the admin: put back into the queue, from the list and from a run's page."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from accounts.actor import Actor
from agentplatform.lib.errors import Conflict
from runs import live
from runs.admin.acts import asking
from runs.admin.verbs import RunVerbs
from runs.models import IN_FLIGHT, Run
from runs.queueing import stuck


def requeue(actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    """Raises Conflict for a run that is left as it is."""
    outcome = stuck.requeue(actor, [run_id])
    live.announce(outcome.events)
    if outcome.left:
        raise Conflict(outcome.left[0].reason)
    return run_id, _("Run %(run)s is back in the queue.") % {"run": run_id}


class Requeueing(RunVerbs):
    """Mixin of the run's admin: its verbs, and this one for whoever operates the queue."""

    actions = [*RunVerbs.actions, "requeue_selected"]
    actions_detail = [*RunVerbs.actions_detail, "requeue_this"]

    def has_requeue_permission(self, request: HttpRequest, run: Run | str | None = None) -> bool:
        """Whether the user may requeue runs: this one, which may be given by its id, or any."""
        if run is None:
            return self.may(request, "control:queue")
        found = self.get_object(request, run) if isinstance(run, str) else run
        return found is not None and self.may(request, "control:queue", found)

    def buttons_for(self, run: Run) -> set[str]:
        is_stuck = run.status in IN_FLIGHT and Run.objects.filter(stuck.is_stuck(), pk=run.pk).exists()
        return super().buttons_for(run) | ({"requeue_this"} if is_stuck else set())

    @action(description=gettext_lazy("Requeue"), permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.act_on_each(request, queryset, requeue)

    @action(
        description=gettext_lazy("Requeue"),
        url_path="requeue",
        icon="low_priority",
        permissions=["requeue"],
        dialog=asking(
            gettext_lazy("Put this run back into the queue?"),
            gettext_lazy("Nothing moves it on as it is. A worker goes on from its last checkpoint."),
            gettext_lazy("Requeue"),
        ),
    )
    def requeue_this(self, request: HttpRequest, form: Form, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, requeue)
