"""Reads figures: sums of slots, and what still lies in the outbox, in one statement and so in one snapshot."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.actor import Actor
from runs.analytics import histograms
from runs.analytics.histograms import Histogram
from runs.analytics.periods import Period, Stretch, stretches
from runs.models import ALL_EXECUTED, EVERYBODY, Kind

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
GROUPS = frozenset({"kind", "executed_id", "subject", "outcome", "error_class"})


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose figures: a workspace's, or of one user in it; `executed_id` narrows them to an agent or a workflow."""

    workspace_id: uuid.UUID
    user_id: uuid.UUID = EVERYBODY
    executed_id: uuid.UUID | None = None

    @classmethod
    def of(cls, actor: Actor) -> Whose:
        """What an actor may know: everybody's, or their own."""
        sees_all = actor.may("read:all-metrics")
        return cls(actor.workspace_id, EVERYBODY if sees_all else actor.user_id)

    def countable(self, period: Period) -> Period:
        """The part of time for which calls and steps are counted: of a single user, whole days; see `Figures`."""
        return period if self.user_id == EVERYBODY else period.in_whole_days

    def within(self, executed_id: uuid.UUID) -> Whose:
        return replace(self, executed_id=executed_id)


@dataclass(slots=True)
class Sums:
    """How many ended, how long those took that have a duration, and what they used."""

    count: int = 0
    timed: int = 0
    microseconds: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    entries: list[bytes] = field(default_factory=list)
    """Of histograms, which are looked at as late as possible."""

    def add(self, other: Sums) -> None:
        self.count += other.count
        self.timed += other.timed
        self.microseconds += other.microseconds
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.entries += other.entries

    @property
    def histogram(self) -> Histogram:
        return histograms.read(b"".join(self.entries))

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def average(self) -> float | None:
        """Seconds; None where none has a duration."""
        return round(self.microseconds / self.timed / 1e6, 6) if self.timed > 0 else None

    def percentiles(self) -> dict[str, float | None]:
        """`{p50, p95, p99}` in seconds, right to 1 %."""
        found = histograms.quantiles(self.histogram, QUANTILES.values())
        return dict(zip(QUANTILES, found, strict=True))


Row = tuple[dict[str, Any], Sums]
"""What a group has in common, and its sums."""


def read(
    whose: Whose,
    period: Period,
    kinds: Iterable[Kind],
    groups: Sequence[str] = (),
    *,
    bucket: tuple[str, str] | None = None,
    with_durations: bool = True,
) -> list[Row]:
    """Sums of a period by `groups` and, where `bucket` is a granularity and a time zone, by its beginning (`start`)."""
    assert set(groups) <= GROUPS
    # A day of another time zone is made of quarters of an hour.
    in_days = bucket is None or (bucket[0] != "hour" and bucket[1] == "UTC")
    parameters: dict[str, Any] = {
        "workspace": whose.workspace_id,
        "user": whose.user_id,
        "everybody": EVERYBODY,
        "executed": whose.executed_id,
        "all": ALL_EXECUTED,
        "kinds": [str(kind) for kind in kinds],
        "since": period.start,
        "until": period.end,
    }
    columns = [*groups]
    if bucket:
        columns.append("start")
        parameters |= {"granularity": bucket[0], "zone": bucket[1]}
    parts = stretches(period, in_days=in_days, quarters_since=quarters_since())
    sources = [
        _slots(number, part, parameters) + _executed(whose, groups) for number, part in enumerate(parts)
    ]
    outbox = _OUTBOX + (" AND executed_id = %(executed)s" if whose.executed_id else "")
    statement = _statement([*sources, outbox], columns, bool(bucket), with_durations)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [_row(columns, row) for row in cursor.fetchall()]


def gathered(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], Sums]:
    """Rows added up by some of what their groups have in common."""
    found: dict[tuple[Any, ...], Sums] = {}
    for common, sums in rows:
        found.setdefault(tuple(common[key] for key in keys), Sums()).add(sums)
    return found


def quarters_since() -> datetime | None:
    """Since when quarters of an hour are kept, a day's beginning; None: for ever."""
    kept = settings.METRICS_QUARTERS_KEPT_DAYS
    if not kept:
        return None
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=kept)


def _row(columns: Sequence[str], row: Sequence[Any]) -> Row:
    *common, count, timed, microseconds, read_, written, histogram = row
    counted, with_duration, took, read_in, written_out = (
        int(number or 0) for number in (count, timed, microseconds, read_, written)
    )
    entries = [bytes(histogram)] if histogram else []
    sums = Sums(counted, with_duration, took, read_in, written_out, entries)
    return dict(zip(columns, common, strict=True)), sums


def _slots(number: int, part: Stretch, parameters: dict[str, Any]) -> str:
    names = {name: f"{name}{number}" for name in ("minutes", "start", "end")}
    parameters |= {names["minutes"]: part.minutes, names["start"]: part.start, names["end"]: part.end}
    return _SLOTS.format(**names)


_SUMS = "count, timed, microseconds, input_tokens, output_tokens"
_SLOTS = (
    "SELECT slot AS moment, kind, executed_id, subject, outcome, error_class, " + _SUMS + ", histogram "
    "FROM runs_figures WHERE workspace_id = %(workspace)s AND user_id = %(user)s AND minutes = %({minutes})s "
    "AND kind = ANY(%(kinds)s) AND slot >= %({start})s AND slot < %({end})s"
)
_OUTBOX = (
    "SELECT ended_at AS moment, kind, COALESCE(executed_id, %(everybody)s) AS executed_id, subject, outcome, "
    "error_class, count, CASE WHEN bucket IS NULL THEN 0 ELSE count END AS timed, microseconds, input_tokens, "
    "output_tokens, CASE WHEN bucket IS NULL THEN '' ELSE int4send(bucket) || int4send(count) END AS histogram "
    "FROM runs_measurement WHERE workspace_id = %(workspace)s AND %(user)s IN (%(everybody)s, user_id) "
    "AND kind = ANY(%(kinds)s) AND ended_at >= %(since)s AND ended_at < %(until)s"
)


def _executed(whose: Whose, groups: Sequence[str]) -> str:
    """Which rows: of one agent, of each, or of all together where that is enough."""
    if whose.executed_id:
        return " AND executed_id = %(executed)s"
    is_together = whose.user_id == EVERYBODY and "executed_id" not in groups
    return f" AND executed_id {'=' if is_together else '<>'} %(all)s"


def _statement(sources: Sequence[str], columns: Sequence[str], has_bucket: bool, with_durations: bool) -> str:
    union = " UNION ALL ".join(f"({source})" for source in sources)
    start = ", date_trunc(%(granularity)s, moment, %(zone)s) AS start" if has_bucket else ""
    sums = ", ".join(f"sum({name})" for name in _SUMS.split(", "))
    durations = "string_agg(histogram, '')" if with_durations else "NULL"
    common = "".join(f"{name}, " for name in columns)
    grouped = f" GROUP BY {', '.join(columns)}" if columns else ""
    return (
        f"SELECT {common}{sums}, {durations} FROM (SELECT *{start} FROM ({union}) AS found) AS found{grouped}"  # noqa: S608
    )
