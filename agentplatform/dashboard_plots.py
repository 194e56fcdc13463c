"""The plots of the admin's first page: one workspace's runs, durations, tokens and, where the user may know, cost.

They read sums of days, however many runs there were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from accounts.actor import Actor
from accounts.admin_base import reach
from accounts.models import Workspace
from billing import pictures as billing_pictures
from billing import usage
from billing.budgets import counters
from billing.selections import Selection
from runs.analytics import metrics, pictures
from runs.analytics.periods import Period
from runs.analytics.reading import Whose

DAYS = (7, 30)
MOST_WORKSPACES = 50
"""That can be chosen from."""
MOST_BARS = 8
ZONE = "UTC"


@dataclass(frozen=True, slots=True)
class Choice:
    """Another view of the plots."""

    title: str
    link: str
    is_chosen: bool


@dataclass(slots=True)
class Plots:
    """Pictures, and what else there is to look at."""

    pictures: list[SafeString] = field(default_factory=list)
    periods: list[Choice] = field(default_factory=list)
    workspaces: list[Choice] = field(default_factory=list)


def plots_of(request: HttpRequest) -> Plots | None:
    """What the user may see of the workspace that the query names, or of their first; None: of none."""
    workspace = chosen_workspace(request)
    if workspace is None:
        return None
    found = list(_own(request)[:MOST_WORKSPACES])
    days = DAYS[1] if request.GET.get("days") == str(DAYS[1]) else DAYS[0]
    actor = reach(request).actor(workspace.pk)
    return Plots(
        [mark_safe(picture) for picture in _pictures(actor, workspace, days)],  # noqa: S308 - plots escape all texts
        [
            Choice(_("%(days)s days") % {"days": other}, _link(workspace, other), other == days)
            for other in DAYS
        ],
        [Choice(other.name, _link(other, days), other == workspace) for other in found]
        if len(found) > 1
        else [],
    )


def chosen_workspace(request: HttpRequest) -> Workspace | None:
    """The one that the query names, or the person's first; None: of no workspace they may see figures."""
    own, slug = _own(request), request.GET.get("workspace", "")
    named = own.filter(slug=slug).first() if slug else None
    return named or own.first()


def _own(request: HttpRequest) -> QuerySet[Workspace]:
    return reach(request).workspaces("read:metrics").order_by("slug")


def _pictures(actor: Actor, workspace: Workspace, days: int) -> list[str]:
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(days=days - 1)
    _whole, series = metrics.runs_over_time(Whose.of(actor), Period.until_now(start), "day", ZONE)
    how: dict[str, Any] = {"is_file": False, "width": pictures.NARROW}
    drawn = [
        draw(series, "day", ZONE, **how)
        for draw in (pictures.runs, pictures.success, pictures.latency, pictures.tokens)
    ]
    if actor.may("read:usage"):
        drawn += _cost(actor, workspace, usage.Period.of(start, now), how)
    if actor.may("read:budget") and (found := counters.burnt([workspace.pk])):
        drawn.append(billing_pictures.burnt(found, MOST_BARS, **how))
    return drawn


def _cost(actor: Actor, workspace: Workspace, period: usage.Period, how: dict[str, Any]) -> list[str]:
    """What was spent, by agent and by model."""
    found = usage.summary(Selection(workspace.pk, period.span), period, workspace.currency)
    return [draw(found, MOST_BARS, **how) for draw in (billing_pictures.by_agent, billing_pictures.by_model)]


def _link(workspace: Workspace, days: int) -> str:
    return f"?{urlencode({'workspace': workspace.slug, 'days': days})}#plots"
