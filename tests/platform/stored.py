"""What the database holds: every row of every table, as text."""

from __future__ import annotations

from django.db import connection


def tables() -> list[str]:
    """All tables, those of libraries included, of which no model knows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def rows_by_table() -> dict[str, list[str]]:
    """The rows of each table, whole, in an order of their own."""
    parts = [f"SELECT '{name}', row::text FROM {name} AS row" for name in tables()]
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS rows (name, text) ORDER BY 1, 2")
        for name, text in cursor.fetchall():
            found.setdefault(name, []).append(text)
    return found
