"""What was used and what it cost: sums over the ledger's settled entries, as `billing.selections` gathers them.

The filters are those of the export, so the sum over any export equals the totals.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from agentplatform.lib import time_zones
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import first_uuid7_at
from billing.breakdowns import Breakdown, grouped
from billing.grains import Bucket, Span, buckets
from billing.grouping import Query
from billing.ledger import LONGEST_CALL
from billing.models import UsageRecord
from billing.selections import Parameters, Selection, gathering, rows
from billing.totals import Totals, fold, nothing, without

Records = QuerySet[UsageRecord, Any]

DEFAULT_PERIOD = timedelta(days=30)
MOST_GROUPS = 100
MOST_BUCKETS = 1000
GRANULARITIES = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
    "quarter": timedelta(days=92),
    "year": timedelta(days=366),
}
# Before and after these the ledger has nothing.
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


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

    @property
    def span(self) -> Span:
        """The part of it in which there can be entries."""
        lower = min(max(self.start, FIRST), LAST)
        return Span(lower, max(min(self.end, LAST), lower))


def summary(selection: Selection, period: Period, currency: str) -> dict[str, Any]:
    """Totals of the period, as a whole and by model and by agent, the busiest hundred of each."""
    found = _gathered(selection, "model", "agent")
    return {
        **_head(found, period, currency),
        "by_model": fold(found, currency, "provider", "model")[:MOST_GROUPS],
        "by_agent": fold(found, currency, "agent_id", "agent")[:MOST_GROUPS],
    }


def agent_breakdown(selection: Selection, period: Period, currency: str) -> dict[str, Any]:
    """Totals of the period by agent, and within each agent by model, the busiest hundred agents."""
    found = _gathered(selection, "model", "agent")
    agents = fold(found, currency, "agent_id", "agent")[:MOST_GROUPS]
    by_model = fold(found, currency, "agent_id", "agent", "provider", "model")
    for agent in agents:
        key = _agent_key(agent)
        own = [_without_agent(group) for group in by_model if _agent_key(group) == key]
        agent["by_model"] = own[:MOST_GROUPS]
    return {**_head(found, period, currency), "agents": agents}


def breakdown(selection: Selection, period: Period, currency: str, query: Query) -> dict[str, Any]:
    """Totals of the period by one or two dimensions: a page of groups, and all the others as one."""
    found = grouped(selection, currency, query)
    head = _head(found.whole, period, currency)
    return {
        **head,
        "by": list(query.by),
        "ordering": query.ordering,
        "total": found.total,
        "groups": found.groups,
        "others": _others(found, head["totals"]),
    }


def history(
    selection: Selection, period: Period, currency: str, granularity: str, time_zone: str
) -> dict[str, Any]:
    """Totals of the period by hour, day, week … of a time zone; buckets without usage are left out."""
    cut = _buckets(selection, period, granularity, time_zone)
    parameters = Parameters()
    found = rows(gathering(selection, (), cut, parameters), parameters)
    return {
        **_head(found, period, currency),
        "granularity": granularity,
        "tz": time_zone,
        "buckets": _in_time(found, cut, currency),
    }


def history_by(
    selection: Selection, period: Period, currency: str, granularity: str, time_zone: str, query: Query
) -> dict[str, Any]:
    """The same, and beside it that of the groups which are first in the whole period, and of all others as one."""
    cut = _buckets(selection, period, granularity, time_zone)
    chosen = grouped(selection, currency, query)
    found = chosen.in_buckets(selection, cut)
    keys = chosen.query.keys
    rows_of: dict[tuple[Any, ...], list[Totals]] = {}
    for row in found:
        if not row["is_whole"]:
            rows_of.setdefault(tuple([row[name] for name in keys]), []).append(row)
    series = []
    for group in chosen.groups:
        named = {name: group[name] for name in keys}
        own = rows_of.get(tuple(named.values()), [])
        [totals] = fold(own, currency) or [nothing()]
        series.append({**named, **totals, "buckets": _in_time(own, cut, currency)})
    whole = [row for row in found if row["is_whole"]]
    answer = {
        **_head(whole, period, currency),
        "granularity": granularity,
        "tz": time_zone,
        "buckets": _in_time(whole, cut, currency),
    }
    return {
        **answer,
        "group_by": query.by[0],
        "series": series,
        "others": _other_series(answer, series, query),
    }


def sums_by_hour_and_agent(workspace_id: uuid.UUID, period: Period) -> list[Totals]:
    """Sums of each hour (in UTC), agent and currency, as all queries get them; for whoever compares them."""
    parameters = Parameters()
    selection = Selection(workspace_id, period.span)
    hours = list(buckets(period.span, "hour", "UTC"))
    found = rows(gathering(selection, ("agent",), hours, parameters), parameters)
    named = [{**row, "start": hours[row["bucket"]].start} for row in found]
    keys = ("start", "agent_id", "agent", "currency")
    return [
        total
        for currency in {row["currency"] for row in named}
        for total in fold([row for row in named if row["currency"] == currency], currency, *keys)
    ]


def count_recent(open_calls: Records) -> int:
    """How many of these calls are under way; older ones were left by a dead process and are about to be settled."""
    since = timezone.now() - LONGEST_CALL
    return open_calls.filter(id__gte=first_uuid7_at(since), timestamp__gte=since).count()


def _gathered(selection: Selection, *by: str) -> list[Totals]:
    parameters = Parameters()
    whole = [Bucket(selection.span.lower, selection.span)]
    return rows(gathering(selection, by, whole, parameters), parameters)


def _buckets(selection: Selection, period: Period, granularity: str, time_zone: str) -> list[Bucket]:
    _require_bounded(period, granularity)
    _require_time_zone(time_zone)
    return list(buckets(selection.span, granularity, time_zone))


def _in_time(found: list[Totals], cut: list[Bucket], currency: str) -> list[Totals]:
    """The totals of each bucket that has any, in order of time."""
    totals = sorted(fold(found, currency, "bucket"), key=lambda bucket: bucket["bucket"])
    return [{"start": cut[bucket.pop("bucket")].start, **bucket} for bucket in totals]


def _head(found: list[Totals], period: Period, currency: str) -> dict[str, Any]:
    totals = fold(found, currency)
    return {
        "period": {"start": period.start, "end": period.end},
        "currency": currency,
        "totals": totals[0] if totals else nothing(),
        "other_currencies": _other_currencies(found, currency),
    }


def _other_currencies(found: list[Totals], currency: str) -> list[Totals]:
    """What cannot be added to the rest: calls that were under way while a workspace changed its currency."""
    others = {row["currency"] for row in found if row["cost"] is not None} - {currency}
    return [
        {
            "currency": other,
            "cost": sum((row["cost"] or Decimal(0) for row in found if row["currency"] == other), Decimal(0)),
        }
        for other in sorted(others)
    ]


def _others(found: Breakdown, totals: Totals) -> Totals | None:
    """What the groups that are not on this page have together. None for tags: a call with two counts in both."""
    return None if "tag" in found.query.by else without(totals, found.groups)


def _other_series(
    answer: dict[str, Any], series: list[dict[str, Any]], query: Query
) -> dict[str, Any] | None:
    if "tag" in query.by:
        return None
    listed: dict[datetime, list[Totals]] = {}
    for group in series:
        for bucket in group["buckets"]:
            listed.setdefault(bucket["start"], []).append(bucket)
    rest = [
        {"start": bucket["start"], **without(bucket, listed.get(bucket["start"], []))}
        for bucket in answer["buckets"]
    ]
    return {**without(answer["totals"], series), "buckets": rest}


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
