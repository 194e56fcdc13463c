"""Figures as plots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from agentplatform.lib import plots
from agentplatform.lib.plots import Series

Json = dict[str, Any]

NARROW = 440
"""Pixels, of a plot that stands beside others."""


def runs(series: Sequence[Json], granularity: str, time_zone: str, title: str = "", **how: Any) -> str:
    """How many runs ended, by how they ended."""
    ends = {"completed": _("completed"), "failed": _("failed"), "cancelled": _("cancelled")}
    found = [Series(label, [bucket[name] for bucket in series]) for name, label in ends.items()]
    return plots.columns(title or _("Runs"), labels(series, granularity, time_zone), found, **how)


def tokens(series: Sequence[Json], granularity: str, time_zone: str, title: str = "", **how: Any) -> str:
    found = [Series(_("tokens"), [bucket["tokens"] for bucket in series])]
    return plots.columns(title or _("Tokens"), labels(series, granularity, time_zone), found, **how)


def latency(series: Sequence[Json], granularity: str, time_zone: str, title: str = "", **how: Any) -> str:
    """Seconds in which half, 95 % and 99 % of the runs came to their end."""
    found = [Series(name, [bucket[name] for bucket in series]) for name in ("p50", "p95", "p99")]
    where = labels(series, granularity, time_zone)
    return plots.lines(title or _("Duration of runs"), where, found, unit="s", **how)


def success(series: Sequence[Json], granularity: str, time_zone: str, title: str = "", **how: Any) -> str:
    """Of the runs that completed or failed, how many completed."""
    shares = [
        None if bucket["success_rate"] is None else round(100 * bucket["success_rate"], 2)
        for bucket in series
    ]
    where = labels(series, granularity, time_zone)
    return plots.lines(title or _("Success rate"), where, [Series(_("completed"), shares)], unit="%", **how)


def labels(series: Sequence[Json], granularity: str, time_zone: str) -> list[str]:
    """Days, and hours with them, as they are called in the time zone."""
    zone = ZoneInfo(time_zone)
    return [label(bucket["timestamp"].astimezone(zone), granularity) for bucket in series]


def label(moment: datetime, granularity: str) -> str:
    day = f"{moment:%m-%d}"
    return f"{day} {moment:%H:%M}" if granularity == "hour" else day
