"""Runs that tools of other runs have started: who is above and below whom, and what they have used together."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection

from runs.models import ACTIVE

# Deeper than agents may ask agents, whatever has become of the rows.
DEEPEST = 32
_BELOW = """
WITH RECURSIVE below AS (
    SELECT id, 1 AS depth FROM runs_run WHERE parent_id = %s AND relation = 'child'
    UNION
    SELECT run.id, below.depth + 1 FROM runs_run run JOIN below ON run.parent_id = below.id
    WHERE run.relation = 'child' AND below.depth < %s
)
SELECT {wanted} FROM below JOIN runs_run run USING (id) WHERE {condition}
"""
_ALL_BELOW = _BELOW.format(wanted="run.id", condition="TRUE")
_ACTIVE_BELOW = _BELOW.format(wanted="run.id", condition="run.status = ANY(%s)")
_SUMS = ", ".join(
    f"COALESCE(sum(run.{column}), 0)"
    for column in ("input_tokens", "output_tokens", "cost", "unpriced_calls")
)
_USED_BELOW = _BELOW.format(wanted=_SUMS, condition="run.id <> ALL(%s)")
_ABOVE = """
WITH RECURSIVE above AS (
    SELECT parent_id AS id, 1 AS depth FROM runs_run WHERE id = %s AND relation = 'child'
    UNION
    SELECT run.parent_id, above.depth + 1 FROM runs_run run JOIN above ON run.id = above.id
    WHERE run.relation = 'child' AND above.depth < %s
)
SELECT id FROM above WHERE id IS NOT NULL ORDER BY depth
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What several runs have used together. `cost` leaves out the `unpriced_calls`."""

    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_calls: int


def active_below(run_id: uuid.UUID) -> list[uuid.UUID]:
    """The runs that a run's tools have started, theirs included, as far as they have not ended."""
    return [row[0] for row in _rows(_ACTIVE_BELOW, run_id, DEEPEST, [str(status) for status in ACTIVE])]


def all_below(run_id: uuid.UUID) -> list[uuid.UUID]:
    """The same, ended ones included."""
    return [row[0] for row in _rows(_ALL_BELOW, run_id, DEEPEST)]


def used_below(run_id: uuid.UUID, without: Iterable[uuid.UUID] = ()) -> Used:
    """What all runs below a run have used so far, those `without` left out."""
    [row] = _rows(_USED_BELOW, run_id, DEEPEST, list(without))
    return Used(*row)


def above(run_id: uuid.UUID) -> list[uuid.UUID]:
    """The run whose tool has started this one, the run above that, and so on."""
    return [row[0] for row in _rows(_ABOVE, run_id, DEEPEST)]


def _rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()
