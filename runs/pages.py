"""Pages for people in browsers: the live page of a run, and the choice of a language."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import path, reverse
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django.views.i18n import set_language

from accounts.actor import Actor
from accounts.authentication import actor_from_session
from agentplatform.lib.errors import NotFound, PlatformError
from agents.workflows import svg
from runs.approvals import may_decide
from runs.control import controllable
from runs.models import TERMINAL, Run
from runs.workflow_picture import picture_of

# Stricter than the admin's: everything on this page is a file of ours.
STRICT = {"script-src": [SELF], "style-src": [SELF], "worker-src": [NONE]}


@require_safe
@login_required
@csp_replace(STRICT)  # type: ignore[arg-type] # It takes views with arguments, too.
def live_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """A run as it happens, for whoever may read it; for others it does not exist."""
    try:
        actor, run = readable_run(request.user, run_id)
    except PlatformError as error:
        raise Http404 from error
    picture = drawing_of(run) if run.is_workflow else ""
    context = {"run": run, "page": page_data(actor, run), "picture": picture, "site": settings.APP_NAME}
    return render(request, "runs/live.html", context)


@require_safe
@login_required
def run_picture(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """`{nodes: {id: {status, said, facts}}}`: how a workflow's nodes stand, as its picture shows them."""
    try:
        _, run = readable_run(request.user, run_id)
    except PlatformError as error:
        raise Http404 from error
    if not run.is_workflow:
        raise Http404
    picture = picture_of(run)
    nodes = {
        node.id: {
            "status": picture.states[node.id].status,
            "said": svg.said_of(node, picture.states[node.id]),
            "facts": svg.facts_of(picture.states[node.id]),
        }
        for node in picture.nodes
    }
    return JsonResponse({"nodes": nodes})


def drawing_of(run: Run) -> str:
    """The picture of a workflow's run, for a page that links its style sheet. Its texts are escaped."""
    return mark_safe(svg.as_svg(picture_of(run), run.executes, is_file=False))  # noqa: S308


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For what asks for it by its old name, without reading a page."""
    return HttpResponseRedirect(static("runs/icon.svg"))


def readable_run(user: Any, run_id: UUID) -> tuple[Actor, Run]:
    """The run, and who its reader is in the run's workspace. Raises NotFound, PermissionDenied."""
    workspace_id = Run.objects.filter(pk=run_id).values_list("workspace_id", flat=True).first()
    if workspace_id is None:
        raise NotFound("Run", run_id)
    actor = actor_from_session(user, workspace_id)
    actor.require("read:run")
    run: Run = Run.objects.select_related("workspace", "workflow_version").named(actor, run_id)
    return actor, run


def page_data(actor: Actor, run: Run) -> dict[str, Any]:
    """What the page's script starts from."""
    return {
        "socket": f"/ws/runs/{run.pk}/",
        "picture": reverse("run-picture", args=[run.pk]) if run.is_workflow else None,
        "title": f"{run.executes} · {settings.APP_NAME}",
        "status": run.status,
        "may_steer": run.status not in TERMINAL and may_control(actor, run),
        "may_decide": run.status not in TERMINAL and may_decide(actor, run),
        "language": get_language(),
        "texts": texts(),
    }


def may_control(actor: Actor, run: Run) -> bool:
    """Whether the domain lets the actor steer the run."""
    try:
        controllable(actor, run.pk)
    except PlatformError:
        return False
    return True


def texts() -> dict[str, str]:
    """Everything that the page's script says, in the reader's language."""
    return {
        "status_created": _("Created"),
        "status_queued": _("Queued"),
        "status_running": _("Running"),
        "status_pausing": _("Pausing"),
        "status_paused": _("Paused"),
        "status_waiting": _("Waiting"),
        "status_completed": _("Completed"),
        "status_failed": _("Failed"),
        "status_cancelled": _("Cancelled"),
        "connection_connecting": _("Connecting …"),
        "connection_open": _("Live"),
        "connection_lost": _("Connection lost, trying again …"),
        "connection_ended": "",
        "connection_refused": _("Closed by the server"),
        "not_connected": _("There is no connection at the moment. Try again when it is back."),
        "step_model": _("Model call"),
        "step_tool": _("Tool calls"),
        "step_agent": _("Agent"),
        "step_http": _("HTTP request"),
        "step_condition": _("Condition"),
        "step_parallel": _("Parallel branches"),
        "step_join": _("Join"),
        "step_loop": _("Loop"),
        "step_approval": _("Approval"),
        "step_transform": _("Transform"),
        "step_workflow": _("Workflow"),
        "step_end": _("End"),
        "in_queue": _("In the queue"),
        "first_token": _("first token after {time}"),
        "thoughts": _("Thoughts"),
        "arguments": _("Arguments"),
        "result": _("Result"),
        "call_running": _("running"),
        "call_completed": _("done"),
        "call_failed": _("failed"),
        "retrying": _("The model is asked again:"),
        "run_queued": _("Back in the queue:"),
        "attempt_started": _("A worker went on from the last checkpoint, attempt"),
        "run_paused": _("Paused."),
        "run_paused_budget_exceeded": _("Paused, because its budget of {limit} is spent: {used} of {value}."),
        "limit_max_tokens": _("tokens"),
        "limit_max_cost": _("money"),
        "limit_timeout": _("seconds"),
        "run_paused_restored": _("Set back to a checkpoint."),
        "run_waiting": _("Waits for a run that one of its tools has started."),
        "run_resumed": _("Resumed."),
        "budget_warning": _("Most of its budget of {limit} is used: {used} of {value}."),
        "approval_pending": _("waits for a person"),
        "approval_approved": _("approved by {by}"),
        "approval_edited": _("changed and approved by {by}"),
        "approval_rejected": _("rejected by {by}"),
        "nobody": _("the deadline"),
        "unknown_effect": _(
            "A worker was lost during this call. Nobody knows whether it has had its effect."
        ),
        "deadline": _("To be decided by {time}."),
        "too_large": _("Its arguments are too large to be decided here. Use the inbox of the admin."),
        "approve": _("Approve"),
        "edit": _("Edit"),
        "reject": _("Reject"),
        "no_json": _("That is no JSON:"),
        "child_run": _("Watch its run"),
        "unpriced": _("without a price"),
    }


urlpatterns = [
    path("language/", set_language, name="set_language"),
    path("favicon.ico", favicon, name="favicon"),
    path("runs/<uuid:run_id>/", live_run, name="run-live"),
    path("runs/<uuid:run_id>/picture", run_picture, name="run-picture"),
]
