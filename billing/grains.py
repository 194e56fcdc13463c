"""Time cut into pieces: grains that lie in one another, and local buckets covered by as few of them as can be.

A grain's pieces are counted from the Unix epoch, so that each lies wholly in one of the next coarser grain. Quarters of
an hour are the finest, because offsets of time zones are multiples of them: any zone's hours and days are whole pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
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
MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """From `lower` up to but without `upper`."""

    lower: datetime
    upper: datetime


@dataclass(frozen=True, slots=True)
class Piece(Span):
    """Neighbouring whole pieces of a grain."""

    grain: Grain


@dataclass(frozen=True, slots=True)
class Cover:
    """A span as whole pieces, and what is left at its two ends."""

    pieces: Sequence[Piece]
    edges: Sequence[Span]

    @property
    def inner(self) -> Span | None:
        """What the pieces cover."""
        if not self.pieces:
            return None
        return Span(min(piece.lower for piece in self.pieces), max(piece.upper for piece in self.pieces))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A local hour, day, week … and what of it is asked for. `start` may lie before that, and before `span`."""

    start: datetime
    span: Span


def cover(span: Span, grains: Sequence[Grain]) -> Cover:
    """`span` by the coarsest of `grains` (the finest first) that fit, finer ones towards both ends."""
    pieces: list[Piece] = []
    finest, *coarser = grains
    lower, upper = _ceiling(span.lower, finest), _floor(span.upper, finest)
    if lower >= upper:
        return Cover((), (span,))
    edges = [edge for edge in (Span(span.lower, lower), Span(upper, span.upper)) if edge.lower < edge.upper]
    grain = finest
    for next_grain in coarser:
        inner = Span(_ceiling(lower, next_grain), _floor(upper, next_grain))
        if inner.lower >= inner.upper:
            break
        pieces += _pieces(grain, (lower, inner.lower), (inner.upper, upper))
        lower, upper, grain = inner.lower, inner.upper, next_grain
    return Cover([*pieces, *_pieces(grain, (lower, upper))], edges)


def buckets(span: Span, granularity: str, time_zone: str) -> Iterator[Bucket]:
    """The local hours, days, weeks (from Monday), months, quarters or years that `span` touches, in order of time."""
    zone = ZoneInfo(time_zone)
    found = _hours(span, zone) if granularity == "hour" else _dates(span, granularity, zone)
    for start, bounds in found:
        lower, upper = max(bounds.lower, span.lower), min(bounds.upper, span.upper)
        if lower < upper:
            yield Bucket(start, Span(lower, upper))


def _pieces(grain: Grain, *bounds: tuple[datetime, datetime]) -> list[Piece]:
    return [Piece(lower, upper, grain) for lower, upper in bounds if lower < upper]


def _floor(moment: datetime, grain: Grain) -> datetime:
    return moment - (moment - EPOCH) % grain.length


def _ceiling(moment: datetime, grain: Grain) -> datetime:
    return moment + (EPOCH - moment) % grain.length


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
