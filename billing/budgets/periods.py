"""Periods of budgets. When one begins is said by `billing_period_start` in the database; when it ends, here and, for
the trigger that counts, by `billing_period_end`. A counter keeps both, whatever becomes of the budget's time zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import DateTimeField, Func, Value

from billing.models import Budget

# When the period of a total begins.
EVER = datetime(1970, 1, 1, tzinfo=UTC)


class PeriodStart(Func):
    """The beginning of the period that a moment lies in, of the budget in the same row."""

    function = "billing_period_start"
    output_field = DateTimeField()

    def __init__(self, moment: datetime, **extra: Any) -> None:
        super().__init__("period", Value(moment, output_field=DateTimeField()), "time_zone", **extra)


def end_of(start: datetime, period: str, time_zone: str) -> datetime | None:
    """When the period that begins at `start` is over and the next one begins; None: never."""
    if period == Budget.Period.TOTAL:
        return None
    if period == Budget.Period.HOUR:
        return start + timedelta(hours=1)
    zone = ZoneInfo(time_zone)
    # Where clocks skip midnight a day begins a little later, by its own clock.
    day = (start + timedelta(hours=2)).astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0)
    if period == Budget.Period.MONTH:
        following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    else:
        following = day + timedelta(days=7 if period == Budget.Period.WEEK else 1)
    return following.replace(tzinfo=zone).astimezone(UTC)
