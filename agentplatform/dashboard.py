"""The admin's first page, and its live part: who works, what waits, what has failed, who is slow, what is left.

That part is fetched again every few seconds by everybody who looks at it. So all of it is bounded, costs the same
however many runs there are, and is made once for all tabs of a person within KEPT_SECONDS.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import caches
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.admin_base import reach
from accounts.models import Workspace
from agentplatform.dashboard_figures import figures, newest_of_day
from agentplatform.dashboard_plots import chosen_workspace, plots_of
from billing.budgets import counters
from runs.admin.lists import visible_runs
from runs.admin.sections import FOLDED, Section, linked, runs_of, status_badge, when
from runs.analytics import performance
from runs.analytics.periods import Period
from runs.analytics.reading import Whose
from runs.models import IN_FLIGHT, Run, Status, Worker

KEPT_SECONDS = 2
MOST_ROWS = 10
MOST_FAILURES = 5
MOST_AGENTS = 5
MOST_BUDGETS = 5
# Columns of a run that may be long.
HEAVY = (
    "input",
    "input_query",
    "response_content",
    "output",
    "config",
    "limits",
    "metadata",
    "pins",
    "overrides",
)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds what is true now, and the plots, to the context of the admin's first page."""
    return {**context, **now(request), "plots": plots_of(request), "title": _("Overview")}


def live_overview(request: HttpRequest) -> HttpResponse:
    """The fragment that takes the place of the one that the page has."""
    key = _key(request)
    fragment = caches["own"].get(key)
    if fragment is None:
        fragment = render_to_string("admin/overview_live.html", now(request), request)
        caches["own"].set(key, fragment, KEPT_SECONDS)
    return HttpResponse(fragment)


def _key(request: HttpRequest) -> str:
    """Of a person with what they may do at this moment, so that a lost role shows at once."""
    asked = hashlib.sha256(request.GET.get("workspace", "").encode()).hexdigest()
    return f"overview:{reach(request).fingerprint}:{get_language()}:{asked}"


def now(request: HttpRequest) -> dict[str, Any]:
    """`figures`, `panels` beside each other, and below them `sections`: tables, as far as the person may see them."""
    moment = timezone.now()
    may = reach(request).may
    panels: list[Section] = []
    sections: list[Section] = []
    if may("read:run"):
        runs = visible_runs(request)
        panels += [under_way(runs, moment), failures(runs, moment)]
        sections.append(runs_of(runs, MOST_ROWS))
    panels += of_workspace(request)
    if may("read:worker"):
        panels.append(workers(request))
    return {"figures": figures(request, moment), "panels": panels, "sections": sections}


def under_way(runs: QuerySet[Run], moment: datetime) -> Section:
    """Runs that are at work or wait for a worker, the oldest first: what is stuck stands on top."""
    found = _cut(runs.filter(status__in=IN_FLIGHT)).order_by("id")[:MOST_ROWS]
    rows = [[status_badge(run), run.executes, _ago(run.created_at, moment), linked(run)] for run in found]
    link = f"{reverse('admin:runs_run_changelist')}?status={Status.RUNNING}"
    return Section(
        _("At work"), [_("Status"), _("Agent"), _("Since"), _("Question")], rows, link, _("All running runs")
    )


def failures(runs: QuerySet[Run], moment: datetime) -> Section:
    """The last runs of the past day that have failed, and why."""
    newest = newest_of_day(runs, moment)
    failed = _cut(Run.objects.filter(pk__in=newest.values("pk"), status=Status.FAILED))
    rows = [
        [_ago(run.created_at, moment), run.executes, (run.error or {}).get("class", ""), linked(run)]
        for run in failed.order_by("-id")[:MOST_FAILURES]
    ]
    link = f"{reverse('admin:runs_run_changelist')}?status={Status.FAILED}&since=day"
    headers = [_("Ago"), _("Agent"), _("Error"), _("Question")]
    return Section(_("Latest failures"), headers, rows, link, _("All failures of the day"))


def of_workspace(request: HttpRequest) -> list[Section]:
    """What is told of one workspace: the slow agents and the budgets."""
    workspace = chosen_workspace(request)
    if workspace is None:
        return []
    actor = reach(request).actor(workspace.pk)
    found = [slow_agents(Whose.of(actor), may_look=actor.may("read:run"))]
    if actor.may("read:budget"):
        found.append(budgets(workspace))
    return found


def slow_agents(whose: Whose, *, may_look: bool) -> Section:
    """The agents of the past 24 hours of which the slowest twentieth of the runs took longest."""
    period = Period.until_now(timezone.now() - timedelta(days=1))
    rows = []
    for agent in performance.slowest_agents(whose, period, MOST_AGENTS):
        name = agent["name"] or _("deleted")
        page = f"{reverse('admin:runs_run_changelist')}?agent={agent['id']}&since=day"
        shown = format_html('<a href="{}">{}</a>', page, name) if may_look and agent["id"] else name
        rows.append([shown, _seconds(agent["p50"]), _seconds(agent["p95"]), agent["count"], agent["failed"]])
    return Section(_("Slow agents"), [_("Agent"), _("p50 (s)"), _("p95 (s)"), _("Runs"), _("Failed")], rows)


def workers(request: HttpRequest) -> Section:
    """Worker processes that are alive, and how many runs each has in hand that the person may see."""
    alive: QuerySet[Any] = Worker.objects.alive().with_hands(visible_runs(request))
    found = alive.order_by("started_at")[:MOST_ROWS]
    rows = [
        [
            str(worker),
            _("Draining") if worker.draining else _("Alive"),
            f"{worker.running} / {worker.concurrency}",
            when(worker.started_at),
        ]
        for worker in found
    ]
    link = reverse("admin:runs_worker_changelist")
    headers = [_("Worker"), _("State"), _("Runs in hand"), _("Started (UTC)")]
    return Section(_("Workers"), headers, rows, link, _("All workers"))


def budgets(workspace: Workspace) -> Section:
    """The budgets of which most is spent."""
    rows = []
    for budget, percent in counters.burnt([workspace.pk])[:MOST_BUDGETS]:
        page = reverse("admin:billing_budget_change", args=[budget.pk])
        meter = format_html(
            '<meter min="0" max="100" high="80" value="{}" aria-label="{}"></meter> {} %',
            f"{min(percent, 100)}",
            budget.name,
            percent,
        )
        rows.append(
            [format_html('<a href="{}">{}</a>', page, budget.name), budget.get_period_display(), meter]
        )
    link = reverse("admin:billing_budget_changelist")
    return Section(_("Budgets"), [_("Budget"), _("Period"), _("Spent")], rows, link, _("All budgets"))


def _cut(runs: QuerySet[Run]) -> QuerySet[Any]:
    return runs.annotate(text=Left("input_query", FOLDED)).defer(*HEAVY)


def _ago(then: datetime, moment: datetime) -> str:
    return str(timedelta(seconds=max(0, round((moment - then).total_seconds()))))


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
