"""Periods of figures: whole quarters of an hour, and their buckets in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from agentplatform.lib import time_zones
from agentplatform.lib.errors import Invalid

QUARTER_HOUR = timedelta(minutes=15)
DAY = timedelta(days=1)
DEFAULT_PERIOD = timedelta(days=30)
LONGEST_PERIOD = timedelta(days=3660)
MOST_BUCKETS = 1000
GRANULARITIES = {"hour": timedelta(hours=1), "day": DAY, "week": timedelta(days=7)}
PREVIOUS = "previous"
NAMES = ("start_time", "end_time")
ERA = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to but without `end`, both at a quarter of an hour."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None, *, named: tuple[str, str] = NAMES) -> Period:
        """The whole quarters of an hour that the time between two moments touches; by default the last 30 days.

        `named` are the fields that a fault is about. Raises Invalid.
        """
        end = end or timezone.now()
        start = start or end - DEFAULT_PERIOD
        if start >= end:
            raise Invalid({named[0]: f"Give a moment before {named[1]}."})
        if end - start > LONGEST_PERIOD:
            raise Invalid({named[0]: f"A period has at most {LONGEST_PERIOD.days} days."})
        try:
            return cls(_floor(start, QUARTER_HOUR), _ceil(end, QUARTER_HOUR))
        except OverflowError:
            raise Invalid({named[0]: "Give a moment of this era."}) from None

    @classmethod
    def until_now(cls, start: datetime = ERA) -> Period:
        return cls(_floor(start, QUARTER_HOUR), _ceil(timezone.now(), QUARTER_HOUR))

    @property
    def in_whole_days(self) -> Period:
        """All days (UTC) that it touches."""
        return Period(_floor(self.start, DAY), _ceil(self.end, DAY))

    @property
    def before(self) -> Period:
        """The period of the same length that ends where this one begins."""
        return Period(self.start - (self.end - self.start), self.start)

    def as_json(self) -> dict[str, datetime]:
        return {"start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a period, and how long the slots are that it is read from."""

    minutes: int
    start: datetime
    end: datetime


def stretches(period: Period, *, in_days: bool, quarters_since: datetime | None) -> list[Stretch]:
    """The period in as few slots as possible: whole days (UTC) where `in_days`, quarters of an hour around them.

    Before `quarters_since` only days are kept: all that lie in the period, even in part.
    """
    oldest = quarters_since or datetime.min.replace(tzinfo=UTC)
    cut = min(max(oldest, period.start), period.end)
    old = Stretch(1440, _floor(period.start, DAY) if period.start < cut else cut, cut)
    first, last = _ceil(cut, DAY), _floor(period.end, DAY)
    if not in_days or first >= last:
        return _some(old, Stretch(15, cut, period.end))
    return _some(old, Stretch(15, cut, first), Stretch(1440, first, last), Stretch(15, last, period.end))


def _some(*found: Stretch) -> list[Stretch]:
    return [one for one in found if one.start < one.end]


def buckets(period: Period, granularity: str, time_zone: str) -> list[datetime]:
    """The beginnings of the period's hours, days or weeks (Monday) in a time zone, as PostgreSQL has them.

    The first may lie before the period. Raises Invalid where there are too many, or no such time zone.
    """
    require_time_zone(time_zone)
    if (period.end - period.start) / GRANULARITIES[granularity] > MOST_BUCKETS:
        raise Invalid(
            {"granularity": f"Take longer buckets or a shorter period: at most {MOST_BUCKETS} buckets."}
        )
    step = "15 minutes" if granularity == "hour" else "1 hour"
    with connection.cursor() as cursor:
        cursor.execute(_BUCKETS, [granularity, time_zone, period.start, period.end - QUARTER_HOUR, step])
        return [start for (start,) in cursor.fetchall()]


_BUCKETS = """
SELECT DISTINCT date_trunc(%s, moment, %s) AS start FROM generate_series(%s, %s, %s::interval) AS moment ORDER BY 1
"""


def require_time_zone(time_zone: str) -> None:
    if time_zone not in time_zones.known():
        raise Invalid({"tz": time_zones.unknown(time_zone)})


def _floor(moment: datetime, step: timedelta) -> datetime:
    return (moment - (moment - ERA) % step).astimezone(UTC)


def _ceil(moment: datetime, step: timedelta) -> datetime:
    floor = _floor(moment, step)
    return floor if floor == moment else floor + step
