"""An agent is tried while it is edited: the form's values, saved or not, answer a question beside the form.

The answer is a run like any other: it is paid for, stands in the ledger and in the list of runs, and is tagged `trial`.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from accounts.admin_base import TenantModelAdmin, reach
from agentplatform.lib.errors import PlatformError
from agents import unsaved
from agents.admin_playground import faults_of, refused
from agents.models import Agent
from runs import live
from runs.commands import RunRequest, start_run
from runs.pages import texts

TAG = "trial"
LONGEST_QUESTION = 20_000


class Playground(TenantModelAdmin):
    """Mixin of the run's admin: the routes that the page of an agent asks."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(try_agent)
        return [
            path("try/", view, name="runs_run_try"),
            path("try/<uuid:agent_id>/", view, name="runs_run_try_agent"),
            *super().get_urls(),
        ]


def try_agent(request: HttpRequest, agent_id: UUID | None = None) -> JsonResponse:
    """Starts a run of what the form has: 202 `{run, socket, page, texts}`, or 4xx `{errors: [{field, message}]}`."""
    if request.method != "POST":
        return refused(405, "", _("Use POST."))
    agents = cast(TenantModelAdmin, admin.site._registry[Agent])
    agent = _agent(request, agents, agent_id)
    form_class = agents.get_form(request, agent, change=agent is not None)
    form: Any = form_class(request.POST, request.FILES, instance=agent)
    question = request.POST.get("playground_question", "").strip()
    if not question or len(question) > LONGEST_QUESTION:
        text = _("Ask something, in at most %(most)s characters.") % {"most": LONGEST_QUESTION}
        return refused(422, "playground_question", text)
    if not form.is_valid():
        return JsonResponse({"errors": faults_of(form)}, status=422)
    edited: Agent = form.save(commit=False)
    actor = reach(request).actor(edited.workspace_id)
    try:
        actor.require("write:agent")
        launch = unsaved.launch_of(edited, form.cleaned_data["tools"], actor)
        messages = [{"role": "user", "content": question}]
        started = start_run(actor, RunRequest(messages=messages, tags=(TAG,)), launch=launch)
    except PlatformError as error:
        return refused(error.status_code, "", error.message)
    live.announce(started.events)
    run = started.run
    answer = {
        "run": str(run.pk),
        "socket": f"/ws/runs/{run.pk}/",
        "page": reverse("admin:runs_run_change", args=[run.pk]),
        "texts": texts(),
    }
    return JsonResponse(answer, status=202)


def _agent(request: HttpRequest, agents: TenantModelAdmin, agent_id: UUID | None) -> Agent | None:
    """The agent that is edited; None where one is being made. Raises Http404 for those who may not."""
    if agent_id is None:
        if agents.has_add_permission(request):
            return None
        raise Http404
    agent: Agent | None = agents.get_object(request, str(agent_id))
    if agent is None or not agents.has_change_permission(request, agent):
        raise Http404
    return agent
