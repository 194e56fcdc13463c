"""The figures of the admin's first page: what happens now, what happened today, what it cost.

Every figure is cheap: it reads a partial index, a bounded number of rows, or one day of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import caches
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.admin_base import reach
from agentplatform.lib.ids import first_uuid7_at
from billing.models import Entry, UsageRecord
from runs.admin.lists import visible_runs
from runs.models import Approval, Run, Status, Worker
from runs.queueing import figures as queues

# How many of the past day's runs are looked at.
MOST_RUNS = 5000
# A day of the ledger can be a million entries; the page asks every few seconds.
SPENT_KEPT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with a name, and where it leads."""

    title: str
    value: str
    note: str = ""
    link: str = ""


def figures(request: HttpRequest, now: datetime) -> list[Figure]:
    """Those that the person may know."""
    may = reach(request).may
    found: list[Figure] = []
    if may("read:run"):
        found += runs_now(request) + runs_of_day(request, now)
    if may("read:approval"):
        found.append(waiting_for_a_person(request))
    if may("read:usage"):
        found += spent_today(request, now)
    if may("read:worker"):
        found += workers()
    return found


def runs_now(request: HttpRequest) -> list[Figure]:
    """How many runs are in workers' hands, how many wait, and for how long and what."""
    found = queues.figures(visible_runs(request))
    behind, seconds = found["behind_in_session"], found["oldest_wait_seconds"]
    note = _("%(runs)s more wait for another run of their session") % {"runs": behind} if behind else ""
    longest = "–" if seconds is None else str(timedelta(seconds=round(seconds)))
    waiting = runs_with(Status.QUEUED)
    return [
        Figure(_("Running now"), str(found["running"]), link=runs_with(Status.RUNNING)),
        Figure(_("Waiting in the queue"), str(found["depth"]), note, waiting),
        Figure(_("Longest wait"), longest, link=waiting),
        Figure(_("Held back"), str(found["held_back"]), _("by their workspace's limit"), waiting),
    ]


def waiting_for_a_person(request: HttpRequest) -> Figure:
    """How many tool calls somebody has to decide."""
    pending = reach(request).rows(Approval.objects.filter(status=Approval.Status.PENDING), "read:approval")
    page = reverse("admin:runs_approval_changelist")
    return Figure(_("Waiting for a person"), str(pending.order_by().count()), link=page)


def runs_of_day(request: HttpRequest, now: datetime) -> list[Figure]:
    """How the runs of the past day have ended."""
    titles = {Status.COMPLETED: _("Completed in 24 hours"), Status.FAILED: _("Failed in 24 hours")}
    counts = {str(status): Count("pk", filter=Q(status=status)) for status in titles}
    found = (
        newest_of_day(visible_runs(request), now).values("pk", "status").aggregate(all=Count("pk"), **counts)
    )
    note = _("of the last %(most)s") % {"most": MOST_RUNS} if found["all"] == MOST_RUNS else ""
    return [
        Figure(title, str(found[str(status)]), note, f"{runs_with(status)}&since=day")
        for status, title in titles.items()
    ]


def newest_of_day(runs: QuerySet[Run], now: datetime) -> QuerySet[Run]:
    """The last MOST_RUNS of the past day, as a slice."""
    return runs.filter(pk__gte=first_uuid7_at(now - timedelta(days=1))).order_by("-id")[:MOST_RUNS]


def spent_today(request: HttpRequest, now: datetime) -> list[Figure]:
    """What the model calls since midnight (UTC) have cost, by currency; told anew every SPENT_KEPT_SECONDS."""
    key = f"spent:{reach(request).fingerprint}"
    rows = caches["own"].get(key)
    if rows is None:
        rows = _sums_of_day(request, now)
        caches["own"].set(key, rows, SPENT_KEPT_SECONDS)
    return [spent(row) for row in rows or [{"currency": "", "spent": 0, "calls": 0, "unpriced": 0}]]


def _sums_of_day(request: HttpRequest, now: datetime) -> list[dict[str, Any]]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    records = reach(request).rows(UsageRecord.objects.all(), "read:usage").order_by()
    settled = records.filter(entry=Entry.SETTLED, timestamp__gte=midnight)
    sums = settled.values("currency").annotate(
        spent=Sum("cost", default=0), calls=Count("pk"), unpriced=Count("pk", filter=Q(cost=None))
    )
    return list(sums)


def spent(row: dict[str, Any]) -> Figure:
    """A figure of one currency's sum; cents would hide what cheap models cost."""
    note = _("%(calls)s model calls") % {"calls": row["calls"]}
    if row["unpriced"]:
        note += ", " + _("%(calls)s without a price") % {"calls": row["unpriced"]}
    is_known = row["unpriced"] < row["calls"] or not row["calls"]
    amount = f"{row['spent']:.4f} {row['currency']}" if is_known else "–"
    return Figure(_("Spent today"), amount, note, reverse("admin:billing_usagerecord_changelist"))


def workers() -> list[Figure]:
    """How many worker processes are alive, and how many runs they can hold."""
    found = Worker.objects.alive().aggregate(count=Count("pk"), room=Sum("concurrency", default=0))
    room = _("room for %(room)s runs") % {"room": found["room"]}
    note = room if found["count"] else _("No run will start.")
    return [Figure(_("Workers"), str(found["count"]), note, reverse("admin:runs_worker_changelist"))]


def runs_with(status: str) -> str:
    return f"{reverse('admin:runs_run_changelist')}?status={status}"
