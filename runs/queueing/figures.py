"""How many runs wait, for how long, and for what."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from runs.models import IN_FLIGHT, UNDER_WAY, Status

Json = dict[str, Any]

# A run gets its job when it is its session's turn; one that is held back by its workspace's limit has none either.
BEHIND_IN_SESSION = Q(status=Status.QUEUED, job_id__isnull=True, held_back=False, session__isnull=False)
WAITING = Q(status=Status.QUEUED) & ~BEHIND_IN_SESSION


def figures(runs: QuerySet[Any]) -> Json:
    """What of `runs` waits and what is under way, in one query.

    `{depth, oldest_wait_seconds, running, held_back, behind_in_session, queues: [{queue, depth, oldest_wait_seconds,
    by_priority: [{priority, depth}]}]}`. `depth` are those that wait for a worker or, held back, for their workspace;
    those behind another run of their session are counted apart. Nothing waits: `oldest_wait_seconds` is None.
    """
    now = timezone.now()
    lines = list(_lines(runs))
    return {
        **_waiting(lines, now),
        "running": _total(lines, "running"),
        "held_back": _total(lines, "held"),
        "behind_in_session": _total(lines, "behind"),
        "queues": [_queue(name, list(own), now) for name, own in groupby(lines, itemgetter("queue"))],
    }


def _lines(runs: QuerySet[Any]) -> QuerySet[Any, Json]:
    """A line for each queue and priority, the most urgent of each queue first."""
    in_flight = runs.filter(status__in=IN_FLIGHT).order_by("queue", "-priority")
    return in_flight.values("queue", "priority").annotate(
        depth=Count("pk", filter=WAITING),
        oldest=Min("queued_at", filter=WAITING),
        running=Count("pk", filter=Q(status__in=UNDER_WAY)),
        held=Count("pk", filter=Q(held_back=True)),
        behind=Count("pk", filter=BEHIND_IN_SESSION),
    )


def _queue(name: str, lines: list[Json], now: datetime) -> Json:
    by_priority = [{"priority": line["priority"], "depth": line["depth"]} for line in lines if line["depth"]]
    return {"queue": name, **_waiting(lines, now), "by_priority": by_priority}


def _waiting(lines: list[Json], now: datetime) -> Json:
    since = [line["oldest"] for line in lines if line["oldest"]]
    seconds = round(max(0.0, (now - min(since)).total_seconds()), 3) if since else None
    return {"depth": _total(lines, "depth"), "oldest_wait_seconds": seconds}


def _total(lines: list[Json], name: str) -> int:
    return sum(line[name] for line in lines)
