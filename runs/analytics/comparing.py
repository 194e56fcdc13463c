"""Compares the figures of two periods."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentplatform.lib.errors import Invalid
from runs.analytics.periods import PREVIOUS, Period

Json = dict[str, Any]


def other_period(
    period: Period, compare_to: str | None, start: datetime | None, end: datetime | None
) -> Period | None:
    """The period that is compared with; None: none was asked for. Raises Invalid."""
    if compare_to == PREVIOUS:
        if start or end:
            raise Invalid({"compare_to": "Give either compare_to, or compare_start and compare_end."})
        return period.before
    if start is None and end is None:
        return None
    if start is None or end is None:
        missing = "compare_end" if end is None else "compare_start"
        raise Invalid({missing: "Give both compare_start and compare_end."})
    return Period.of(start, end, named=("compare_start", "compare_end"))


def compared(figures: Json, other: Period | None, make: Callable[[Period], Json]) -> Json:
    """`{comparison: {period, metrics, change}}`, or that there is none; `make` gives a period's figures."""
    if other is None:
        return {"comparison": None}
    before = make(other)
    return {"comparison": {"period": other.as_json(), "metrics": before, "change": changes(figures, before)}}


def changes(now: Json, before: Json) -> Json:
    """`{absolute, relative}` for each number, in the order and the depth that they have; texts are left out."""
    found: Json = {}
    for name, value in now.items():
        if isinstance(value, dict):
            found[name] = changes(value, before[name])
        elif value is None or isinstance(value, int | float):
            found[name] = _change(value, before[name])
    return found


def _change(now: float | None, before: float | None) -> Json:
    """`relative` is to the value before: 0.5 is half as much again; None where that was nothing."""
    if now is None or before is None:
        return {"absolute": None, "relative": None}
    difference = now - before
    absolute = round(difference, 6) if isinstance(difference, float) else difference
    return {"absolute": absolute, "relative": round(difference / before, 6) if before else None}
