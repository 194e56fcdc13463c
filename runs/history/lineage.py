"""The family of a run: what it was forked, restored or retried from, and what came of it, tools' runs included."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.actor import Actor

MAX_RUNS = 500


@dataclass(frozen=True, slots=True)
class Relative:
    """A run of a family. `step_num` is the source checkpoint's, `depth` counts from the root, which has 0."""

    id: uuid.UUID
    parent_id: uuid.UUID | None
    relation: str
    source_checkpoint_id: uuid.UUID | None
    step_num: int | None
    description: str
    status: str
    created_at: datetime
    depth: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """The root and all below it, breadth first; `truncated` where the family is larger than MAX_RUNS."""

    root_id: uuid.UUID
    runs: list[Relative]
    truncated: bool


def family_of(actor: Actor, run_id: uuid.UUID) -> Lineage:
    """The family of a visible run, from its topmost ancestor that the actor may see, as far as the actor may see it."""
    scope: dict[str, Any] = {
        "workspace": actor.workspace_id,
        "user": actor.user_id,
        "sees_all": actor.may("read:all-runs"),
        "most": MAX_RUNS + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ROOT, {**scope, "run": run_id})
        root_id = cursor.fetchone()[0]
        cursor.execute(_FAMILY, {**scope, "root": root_id})
        found = [Relative(*row) for row in cursor.fetchall()]
    return Lineage(root_id, found[:MAX_RUNS], truncated=len(found) > MAX_RUNS)


_VISIBLE = "run.workspace_id = %(workspace)s AND (run.user_id = %(user)s OR %(sees_all)s)"
_ROOT = f"""
WITH RECURSIVE ancestor AS (
    SELECT id, parent_id, 0 AS height FROM runs_run WHERE id = %(run)s
    UNION ALL
    SELECT run.id, run.parent_id, height + 1
    FROM ancestor JOIN runs_run run ON run.id = ancestor.parent_id
    WHERE {_VISIBLE} AND height < %(most)s
)
SELECT id FROM ancestor ORDER BY height DESC LIMIT 1
"""  # noqa: S608
# Each round of the recursion finds the next generation, and the limit ends it: an endless family is not walked.
_FAMILY = f"""
WITH RECURSIVE family AS (
    SELECT id, 0 AS depth FROM runs_run WHERE id = %(root)s
    UNION ALL
    SELECT run.id, family.depth + 1 FROM family JOIN runs_run run ON run.parent_id = family.id WHERE {_VISIBLE}
), nearest AS MATERIALIZED (SELECT id, depth FROM family LIMIT %(most)s)
SELECT run.id, CASE WHEN nearest.depth > 0 THEN run.parent_id END, run.relation, run.source_checkpoint_id,
    source.step_num, run.description, run.status, run.created_at, nearest.depth
FROM nearest JOIN runs_run run ON run.id = nearest.id
LEFT JOIN runs_checkpoint source ON source.id = run.source_checkpoint_id
ORDER BY nearest.depth, run.id
"""  # noqa: S608
