"""Cron expressions, and the moments that they name.

Five fields, read as Debian's cron reads them, on the clocks of a time zone. What is set for a time that clocks leave
out comes right after the gap; what is set for a time that they show twice comes once. Expressions whose minute or
hour begins with `*` follow the real time instead. All moments are in UTC.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agentplatform.lib import time_zones
from agentplatform.lib.errors import Invalid

FIELDS = 5


def check(expression: str, zone: str) -> None:
    """Raises Invalid, naming `cron` or `timezone`, for what never comes or cannot be read."""
    if zone not in time_zones.known():
        raise Invalid({"timezone": time_zones.unknown(zone)})
    if fault := _fault(expression):
        raise Invalid({"cron": f"{fault} Write minute, hour, day, month and weekday, as in '30 7 * * 1-5'."})


def ticks(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The moments after `after`, in order, each once."""
    last = after
    for wall in CronSim(expression, after.astimezone(ZoneInfo(zone))):
        moment = wall.astimezone(UTC)
        # Two times of a clock that is set forward are one moment; one of a clock that is set back may have been.
        if moment > last:
            yield moment
            last = moment


def next_tick(expression: str, zone: str, after: datetime) -> datetime:
    """The first moment after `after`."""
    return next(ticks(expression, zone, after))


def newest_ticks(expression: str, zone: str, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The last `most` moments after `after` and up to `until`, in order, without walking through all before them."""
    period = timedelta(minutes=most)
    while True:
        start = max(after, until - period)
        up_to_then = takewhile(lambda moment: moment <= until, ticks(expression, zone, start))
        found = deque(up_to_then, maxlen=most)
        if len(found) == most or start == after:
            return list(found)
        period *= 2


def _fault(expression: str) -> str:
    """Why the expression cannot be used; empty where it can."""
    if len(expression.split()) != FIELDS:
        return f"It needs {FIELDS} fields."
    try:
        next(CronSim(expression, datetime.now(UTC)))
    except CronSimError as error:
        return f"{error}."
    except StopIteration:
        return "It names no moment."
    return ""
