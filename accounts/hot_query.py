"""Queries that run with every request: their SQL is built once.

Django builds a query's SQL anew each time it is used; for a join of four tables that takes longer than
PostgreSQL needs to answer it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

Rows = Callable[[], Any]


def first_row(rows: Rows, condition: str, params: Sequence[Any]) -> dict[str, Any] | None:
    """The first row of `rows()`, a query set of `.values()` without parameters, under a condition in SQL.

    The condition is a constant of ours, which continues the query set's SQL; values go into `params` only.
    """
    sql, names = _select(rows)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} {condition} LIMIT 1", params)
        row = cursor.fetchone()
    return dict(zip(names, row, strict=True)) if row else None


@functools.cache
def _select(rows: Rows) -> tuple[str, tuple[str, ...]]:
    query = rows().order_by().query
    sql, _ = query.sql_with_params()
    return sql, query.values_select
