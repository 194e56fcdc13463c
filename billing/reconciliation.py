"""Proves that all roads to a sum come to the same: what the ledger says, and what was made of it elsewhere.

Each road is two statements that sum by the same keys, one over the ledger (`expected`) and one over what the road is
about (`found`). PostgreSQL compares them group by group, in Decimal, and answers only what differs, so that memory is
bounded however large the ledger is. All roads of a workspace are walked in one snapshot. Rooms register theirs:

    @road("runs", keys=["run_id"], columns=["input_tokens", "cost"])
    def runs(scope: Scope) -> Compared:
        return Compared(expected=Select("SELECT … GROUP BY 1", (…,)), found=Select("SELECT id AS run_id, … ", (…,)))

A column that is null, and a group that only one side has, count as 0.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

MOST_DIFFERENCES = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """What is compared: a workspace, as a whole or in a period (`start` up to but without `end`)."""

    workspace_id: uuid.UUID
    slug: str
    start: datetime | None = None
    end: datetime | None = None

    def within(self, column: str) -> tuple[str, list[Any]]:
        """A condition that narrows a column of timestamps to the period, and its parameters."""
        bounds = ((">=", self.start), ("<", self.end))
        given = [(f"{column} {sign} %s", moment) for sign, moment in bounds if moment is not None]
        return " AND ".join(["TRUE", *(text for text, _ in given)]), [moment for _, moment in given]


@dataclass(frozen=True, slots=True)
class Select:
    sql: str
    parameters: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two statements whose columns are called like the road's keys (as text) and columns."""

    expected: Select
    found: Select


@dataclass(frozen=True, slots=True)
class Road:
    name: str
    keys: Sequence[str]
    columns: Sequence[str]
    compare: Callable[[Scope], Compared]


@dataclass(frozen=True, slots=True)
class Difference:
    """One column of one group that is not what the ledger says."""

    road: str
    key: dict[str, str]
    column: str
    expected: Decimal
    found: Decimal

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value or '(none)'}" for name, value in self.key.items())
        return f"{self.road}: {place}: {self.column} is {self.found:f}, the ledger says {self.expected:f}"


@dataclass(slots=True)
class Findings:
    """What a road has come to. `groups` were compared, `differing` of them differ; the first are named."""

    road: str
    groups: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)


roads: dict[str, Road] = {}


def road(
    name: str, *, keys: Sequence[str], columns: Sequence[str]
) -> Callable[[Callable[[Scope], Compared]], Callable[[Scope], Compared]]:
    """Registers a road under its name."""

    def register(compare: Callable[[Scope], Compared]) -> Callable[[Scope], Compared]:
        roads[name] = Road(name, keys, columns, compare)
        return compare

    return register


def reconcile(
    scope: Scope, most: int = MOST_DIFFERENCES, only: Collection[str] | None = None
) -> Iterator[Findings]:
    """Walks all roads, or `only` those named, in one snapshot, and names up to `most` groups of each that differ."""
    with _snapshot():
        for one in [one for name, one in roads.items() if only is None or name in only]:
            yield _walk(one, scope, most)


def _walk(one: Road, scope: Scope, most: int) -> Findings:
    compared = one.compare(scope)
    outcome = Findings(one.name)
    with connection.cursor() as cursor:
        cursor.execute(_sql(one, compared), [*compared.expected.parameters, *compared.found.parameters, most])
        for groups, differing, *values in cursor.fetchall():
            outcome.groups, outcome.differing = groups, differing
            if values[0] is not None:
                outcome.differences += _differences(one, values)
    return outcome


def _differences(one: Road, values: list[Any]) -> Iterator[Difference]:
    key = dict(zip(one.keys, values[: len(one.keys)], strict=True))
    amounts = iter(values[len(one.keys) :])
    for column, expected, found in zip(one.columns, amounts, amounts, strict=True):
        if expected != found:
            yield Difference(one.name, key, column, Decimal(expected), Decimal(found))


def _sql(one: Road, compared: Compared) -> str:
    """A row with the counts for each group that differs, or a single one without a group."""
    keys = ", ".join(one.keys)
    pairs = [
        (f"COALESCE(e.{name}, 0)::numeric AS e_{name}", f"COALESCE(f.{name}, 0)::numeric AS f_{name}")
        for name in one.columns
    ]
    both = ", ".join(text for pair in pairs for text in pair)
    amounts = ", ".join(f"e_{name}, f_{name}" for name in one.columns)
    differs = " OR ".join(f"e_{name} <> f_{name}" for name in one.columns)
    return f"""
        WITH compared AS MATERIALIZED (
            SELECT {keys}, {both}
            FROM ({compared.expected.sql}) e FULL JOIN ({compared.found.sql}) f USING ({keys})
        ), counted AS (
            SELECT count(*) AS groups, count(*) FILTER (WHERE {differs}) AS differing FROM compared
        )
        SELECT groups, differing, {keys}, {amounts} FROM counted
        LEFT JOIN (SELECT * FROM compared WHERE {differs} ORDER BY {keys} LIMIT %s) named ON TRUE
    """  # noqa: S608


@contextmanager
def _snapshot() -> Iterator[None]:
    """One view of the database for all statements, unless the caller has a transaction already."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield
