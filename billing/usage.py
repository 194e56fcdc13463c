"""What was used and what it cost: sums over the ledger's settled entries.

Each question is one scan of a workspace's time range, grouped finely and folded here. The query sets
come from the same filters as the export's, so the sum over any export equals the totals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, F, Func, QuerySet, Value
from django.utils import timezone

from agentplatform.lib import time_zones
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import first_uuid7_at
from billing.ledger import LONGEST_CALL
from billing.models import UsageRecord
from billing.totals import SUMS, Totals, fold, nothing

Records = QuerySet[UsageRecord, Any]

DEFAULT_PERIOD = timedelta(days=30)
MOST_GROUPS = 100
MOST_BUCKETS = 1000
GRANULARITIES = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to but without `end`."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None) -> Period:
        """The period between two moments. Without an end it ends now, without a start it has 30 days."""
        end = end or timezone.now()
        start = start or end - DEFAULT_PERIOD
        if start >= end:
            raise Invalid({"start": "Give a start before the end."})
        return cls(start, end)


class Bucket(Func):
    """The beginning of the hour, day, week (Monday) or month in a time zone.

    PostgreSQL's own truncation, because it tells apart the two hours of one name when clocks go back.
    """

    function = "date_trunc"
    output_field = DateTimeField()

    def __init__(self, granularity: str, moment: str, time_zone: str) -> None:
        super().__init__(Value(granularity), F(moment), Value(time_zone))


def summary(records: Records, period: Period, currency: str) -> dict[str, Any]:
    """Totals of the period, as a whole and by model and by agent, the busiest hundred of each."""
    rows = _grouped(records, "provider", "model", "agent_id", "agent")
    return {
        **_head(rows, period, currency),
        "by_model": fold(rows, currency, "provider", "model")[:MOST_GROUPS],
        "by_agent": fold(rows, currency, "agent_id", "agent")[:MOST_GROUPS],
    }


def agent_breakdown(records: Records, period: Period, currency: str) -> dict[str, Any]:
    """Totals of the period by agent, and within each agent by model, the busiest hundred agents."""
    rows = _grouped(records, "provider", "model", "agent_id", "agent")
    agents = fold(rows, currency, "agent_id", "agent")[:MOST_GROUPS]
    by_model = fold(rows, currency, "agent_id", "agent", "provider", "model")
    for agent in agents:
        key = _agent_key(agent)
        own = [_without_agent(group) for group in by_model if _agent_key(group) == key]
        agent["by_model"] = own[:MOST_GROUPS]
    return {**_head(rows, period, currency), "agents": agents}


def history(
    records: Records, period: Period, currency: str, granularity: str, time_zone: str
) -> dict[str, Any]:
    """Totals of the period by hour, day, week or month of a time zone; buckets without usage are left out."""
    _require_bounded(period, granularity)
    _require_time_zone(time_zone)
    bucketed = records.annotate(start=Bucket(granularity, "timestamp", time_zone))
    rows = _grouped(bucketed, "start")
    buckets = sorted(fold(rows, currency, "start"), key=lambda bucket: bucket["start"])
    return {**_head(rows, period, currency), "granularity": granularity, "tz": time_zone, "buckets": buckets}


def count_recent(open_calls: Records) -> int:
    """How many of these calls are under way; older ones were left by a dead process and are about to be settled."""
    since = timezone.now() - LONGEST_CALL
    return open_calls.filter(id__gte=first_uuid7_at(since), timestamp__gte=since).count()


def _grouped(records: Records, *keys: str) -> list[Totals]:
    return list(records.order_by().values(*keys, "currency").annotate(**SUMS))


def _head(rows: list[Totals], period: Period, currency: str) -> dict[str, Any]:
    totals = fold(rows, currency)
    return {
        "period": {"start": period.start, "end": period.end},
        "currency": currency,
        "totals": totals[0] if totals else nothing(),
        "other_currencies": _other_currencies(rows, currency),
    }


def _other_currencies(rows: list[Totals], currency: str) -> list[Totals]:
    """What cannot be added to the rest: calls that were under way while a workspace changed its currency."""
    others = {row["currency"] for row in rows if row["cost"] is not None} - {currency}
    return [
        {"currency": other, "cost": sum(row["cost"] or 0 for row in rows if row["currency"] == other)}
        for other in sorted(others)
    ]


def _agent_key(group: Totals) -> tuple[Any, Any]:
    return group["agent_id"], group["agent"]


def _without_agent(group: Totals) -> Totals:
    return {key: value for key, value in group.items() if key not in ("agent_id", "agent")}


def _require_bounded(period: Period, granularity: str) -> None:
    if (period.end - period.start) / GRANULARITIES[granularity] > MOST_BUCKETS:
        raise Invalid(
            {"granularity": f"Take longer buckets or a shorter period: at most {MOST_BUCKETS} buckets."}
        )


def _require_time_zone(time_zone: str) -> None:
    if time_zone not in time_zones.known():
        raise Invalid({"tz": time_zones.unknown(time_zone)})
