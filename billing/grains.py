"""Time cut into pieces: grains that lie in one another, and local buckets covered by as few of them as can be.

A grain's pieces are counted from the Unix epoch, so that each lies wholly in one of the next coarser grain. Quarters of
an hour are the finest, because offsets of time zones are multiples of them: any zone's hours and days are whole pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Grain(IntEnum):
    """How long the pieces are. Stored as a number: never change one."""

    QUARTER = 1
    HOUR = 2
    FOUR_HOURS = 3
    DAY = 4
    EIGHT_DAYS = 5
    THIRTY_TWO_DAYS = 6
    HUNDRED_TWENTY_EIGHT_DAYS = 7

    @property
    def length(self) -> timedelta:
        return LENGTHS[self]


LENGTHS = {
    Grain.QUARTER: timedelta(minutes=15),
    Grain.HOUR: timedelta(hours=1),
    Grain.FOUR_HOURS: timedelta(hours=4),
    Grain.DAY: timedelta(days=1),
    Grain.EIGHT_DAYS: timedelta(days=8),
    Grain.THIRTY_TWO_DAYS: timedelta(days=32),
    Grain.HUNDRED_TWENTY_EIGHT_DAYS: timedelta(days=128),
}
# By the grain's number; none has 0. Faster than by the grain, whose hash Python computes.
SECONDS = (0, *(int(LENGTHS[grain].total_seconds()) for grain in Grain))
MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """From `lower` up to but without `upper`."""

    lower: datetime
    upper: datetime


class Piece(NamedTuple):
    """Neighbouring whole pieces of a grain, in seconds since the epoch: a year's days have thousands of them."""

    lower: int
    upper: int
    grain: Grain


@dataclass(frozen=True, slots=True)
class Cover:
    """A span as whole pieces, and what is left at its two ends."""

    pieces: Sequence[Piece]
    edges: Sequence[Span]
    inner: Span | None
    """What the pieces cover."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A local hour, day, week … and what of it is asked for. `start` may lie before that, and before `span`."""

    start: datetime
    span: Span


def cover(span: Span, grains: Sequence[Grain]) -> Cover:
    """`span` by the coarsest of `grains` (the finest first) that fit, finer ones towards both ends."""
    pieces: list[Piece] = []
    finest, *coarser = grains
    length = SECONDS[finest]
    lower, upper = _ceiling(_seconds(span.lower, up=True), length), _floor(_seconds(span.upper), length)
    if lower >= upper:
        return Cover((), (span,), None)
    whole = Span(_moment(lower), _moment(upper))
    edges = []
    if span.lower < whole.lower:
        edges.append(Span(span.lower, whole.lower))
    if whole.upper < span.upper:
        edges.append(Span(whole.upper, span.upper))
    grain = finest
    for next_grain in coarser:
        length = SECONDS[next_grain]
        inner_lower, inner_upper = _ceiling(lower, length), _floor(upper, length)
        if inner_lower >= inner_upper:
            break
        if lower < inner_lower:
            pieces.append(Piece(lower, inner_lower, grain))
        if inner_upper < upper:
            pieces.append(Piece(inner_upper, upper, grain))
        lower, upper, grain = inner_lower, inner_upper, next_grain
    pieces.append(Piece(lower, upper, grain))
    return Cover(pieces, edges, whole)


def buckets(span: Span, granularity: str, time_zone: str) -> Iterator[Bucket]:
    """The local hours, days, weeks (from Monday), months, quarters or years that `span` touches, in order of time."""
    zone = ZoneInfo(time_zone)
    found = _hours(span, zone) if granularity == "hour" else _dates(span, granularity, zone)
    for start, bounds in found:
        lower, upper = max(bounds.lower, span.lower), min(bounds.upper, span.upper)
        if lower < upper:
            yield Bucket(start, Span(lower, upper))


def _seconds(moment: datetime, *, up: bool = False) -> int:
    """Since the epoch; what is more than whole seconds is cut off, or makes one more."""
    since = moment - EPOCH
    return since.days * 86_400 + since.seconds + (up and since.microseconds > 0)


def _moment(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def _floor(seconds: int, length: int) -> int:
    return seconds // length * length


def _ceiling(seconds: int, length: int) -> int:
    return -(-seconds // length) * length


def _hours(span: Span, zone: ZoneInfo) -> Iterator[tuple[datetime, Span]]:
    """Hours of a clock. Where it is set by half an hour, the hour that this breaks off ends there."""
    for stretch in _stretches(span, zone):
        offset = _offset(stretch.lower, zone)
        start = stretch.lower - (stretch.lower - EPOCH + offset) % HOUR
        while start < stretch.upper:
            yield start, Span(max(start, stretch.lower), min(start + HOUR, stretch.upper))
            start += HOUR


def _stretches(span: Span, zone: ZoneInfo) -> Iterator[Span]:
    """`span`, cut where the zone's offset changes."""
    lower = span.lower
    while lower < span.upper:
        upper = lower
        while upper < span.upper and _offset(upper, zone) == _offset(lower, zone):
            upper = min(upper + DAY, span.upper)
        if _offset(upper, zone) != _offset(lower, zone):
            upper = _change(max(lower, upper - DAY), upper, zone)
        yield Span(lower, upper)
        lower = upper


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """When the offset changes between two moments: on a whole second."""
    offset = _offset(before, zone)
    low, high = int((before - EPOCH).total_seconds()), int((after - EPOCH).total_seconds()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(EPOCH + timedelta(seconds=middle), zone) == offset:
            low = middle
        else:
            high = middle
    return EPOCH + timedelta(seconds=high)


def _dates(span: Span, granularity: str, zone: ZoneInfo) -> Iterator[tuple[datetime, Span]]:
    first = _first_date(span.lower.astimezone(zone).date(), granularity)
    lower = _midnight(first, zone)
    while lower < span.upper:
        first = _next_date(first, granularity)
        upper = _midnight(first, zone)
        yield lower, Span(lower, upper)
        lower = upper


def _first_date(day: date, granularity: str) -> date:
    if granularity == "week":
        return day - timedelta(days=day.weekday())
    if months := MONTHS.get(granularity):
        return day.replace(month=(day.month - 1) // months * months + 1, day=1)
    return day


def _next_date(first: date, granularity: str) -> date:
    if months := MONTHS.get(granularity):
        years, month = divmod(first.month - 1 + months, 12)
        return date(first.year + years, month + 1, 1)
    return first + timedelta(days=7 if granularity == "week" else 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a local date, also where clocks go back over midnight or leave it out."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
