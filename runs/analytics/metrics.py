"""How an agent's runs have gone, and how the workspace stands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from agents.models import Agent
from runs.analytics.periods import Period, buckets
from runs.analytics.reading import QUANTILES, Row, Sums, Whose, gathered, read
from runs.models import EVERYBODY, IN_FLIGHT, Kind, Run, Status

Json = dict[str, Any]


def runs_over_time(whose: Whose, period: Period, granularity: str, time_zone: str) -> tuple[Json, list[Json]]:
    """The metrics of the runs that ended in a period, as a whole and by bucket, empty ones too.

    A bucket is `{timestamp, runs, tokens, completed, failed, cancelled, success_rate, avg_duration, p50, p95, p99}`.
    """
    starts = buckets(period, granularity, time_zone)
    rows = read(whose, period, [Kind.RUN], ["outcome"], bucket=(granularity, time_zone))
    by_start: dict[datetime, list[Row]] = {start: [] for start in starts}
    for common, sums in rows:
        # What is only kept by day may begin before the period does.
        by_start.setdefault(common["start"], []).append((common, sums))
    return metrics(rows), [_bucket(start, by_start[start]) for start in sorted(by_start)]


def run_metrics(whose: Whose, period: Period) -> Json:
    """The same as a whole only."""
    return metrics(read(whose, period, [Kind.RUN], ["outcome"]))


def metrics(rows: Iterable[Row]) -> Json:
    """Of rows by outcome. What is a share or a mean of nothing is None."""
    by_outcome = {outcome: sums for (outcome,), sums in gathered(rows, "outcome").items()}
    together = Sums()
    for sums in by_outcome.values():
        together.add(sums)
    ended = {status: by_outcome.get(status, Sums()).count for status in Status.values}
    return {
        "total_runs": together.count,
        "completed": ended[Status.COMPLETED],
        "failed": ended[Status.FAILED],
        "cancelled": ended[Status.CANCELLED],
        "success_rate": _share(ended[Status.COMPLETED], ended[Status.COMPLETED] + ended[Status.FAILED]),
        "avg_duration": together.average,
        **together.percentiles(),
        "total_tokens": together.tokens,
        "input_tokens": together.input_tokens,
        "output_tokens": together.output_tokens,
        "avg_tokens_per_run": _share(together.tokens, together.count),
    }


def _bucket(start: datetime, rows: list[Row]) -> Json:
    found = metrics(rows)
    kept = ("completed", "failed", "cancelled", "success_rate", "avg_duration", *QUANTILES)
    return {
        "timestamp": start,
        "runs": found["total_runs"],
        "tokens": found["total_tokens"],
        **{name: found[name] for name in kept},
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def system(whose: Whose, time_zone: str) -> Json:
    """How the workspace stands, or what one may know of it; a day begins at midnight of the time zone."""
    now = timezone.now()
    midnight = now.astimezone(ZoneInfo(time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    today = run_metrics(whose, Period.until_now(midnight))
    ended = sum(sums.count for _, sums in read(whose, Period.until_now(), [Kind.RUN], with_durations=False))
    active = active_runs(whose)
    return {
        "total_agents": Agent.objects.filter(workspace_id=whose.workspace_id).count(),
        "total_runs": ended + active,
        "active_runs": active,
        "total_tokens_today": today["total_tokens"],
        "avg_response_time": today["avg_duration"],
        "today": {"start": midnight, **today},
    }


def active_runs(whose: Whose) -> int:
    """How many runs wait for a worker or are in one's hands."""
    runs = Run.objects.filter(workspace_id=whose.workspace_id, status__in=IN_FLIGHT).order_by()
    return (runs if whose.user_id == EVERYBODY else runs.filter(user_id=whose.user_id)).count()
