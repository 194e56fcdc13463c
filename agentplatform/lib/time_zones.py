"""Time zones by their IANA names."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError


@cache
def known() -> frozenset[str]:
    """All names; reading them takes a while, so it is done once."""
    return frozenset(available_timezones())


def unknown(name: str) -> str:
    """What to say of a name that is none."""
    return f"There is no time zone {name!r}; use a name like Europe/Berlin or UTC."


def validate_time_zone(name: str) -> None:
    """For a model's field."""
    if name not in known():
        raise ValidationError(unknown(name))
