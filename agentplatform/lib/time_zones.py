"""Time zones by their IANA names."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import DataError, connection, transaction


@cache
def known() -> frozenset[str]:
    """All names; reading them takes a while, so it is done once."""
    return frozenset(available_timezones())


def unknown(name: str) -> str:
    """What to say of a name that is none."""
    return f"There is no time zone {name!r}; use a name like Europe/Berlin or UTC."


def is_shared(name: str) -> bool:
    """Whether PostgreSQL, which has a list of its own, knows the name as well: for what is computed there."""
    if name == "UTC":
        return True
    if name not in known():
        return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT now() AT TIME ZONE %s", [name])
    except DataError:
        return False
    return True


def validate_time_zone(name: str) -> None:
    """For a model's field."""
    if not is_shared(name):
        raise ValidationError(unknown(name))
