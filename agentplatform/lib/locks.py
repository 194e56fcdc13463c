"""Locks on what has no row: named ones of the database."""

from __future__ import annotations

from django.db import connection


def lock_name(name: str) -> None:
    """Waits until nobody else has locked this name, and keeps it until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
