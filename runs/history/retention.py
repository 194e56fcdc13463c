"""Which checkpoints are kept: of each run that has ended the newest, and all that somebody stands on.

`Workspace.kept_checkpoints` says how many; without it all are kept. Kept besides are a person's own, tagged ones, and
those that another run goes on from. A thread's head is the newest of its last run, so it always stays.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import islice
from typing import Self

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Workspace
from runs.models import ACTIVE, TERMINAL, Run

BATCH = 100
"""Runs in one transaction."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What pruning has removed."""

    runs: int = 0
    """Runs that were looked through."""
    checkpoints: int = 0
    writes: int = 0
    values: int = 0

    def __add__(self, other: Self) -> Removed:
        return Removed(
            self.runs + other.runs,
            self.checkpoints + other.checkpoints,
            self.writes + other.writes,
            self.values + other.values,
        )


def prune(workspace: Workspace, keep: int, *, is_dry_run: bool = False) -> Removed:
    """Prunes all runs of a workspace that have ended, batch by batch. A dry run only says what would go."""
    removed = Removed()
    found = _due(workspace.pk, keep).iterator(chunk_size=BATCH)
    while run_ids := list(islice(found, BATCH)):
        removed += _prune_batch(run_ids, keep, is_dry_run)
    return removed


def prune_some() -> bool:
    """One batch of any workspace that keeps a number of checkpoints; whether there may be more."""
    for workspace in Workspace.objects.filter(kept_checkpoints__isnull=False).order_by("pk").iterator():
        keep = workspace.kept_checkpoints
        assert keep
        if (run_ids := list(_due(workspace.pk, keep)[:BATCH])) and _prune_batch(run_ids, keep).runs:
            return True
    return False


def _due(workspace_id: uuid.UUID, keep: int) -> QuerySet[Run, uuid.UUID]:
    """Ids of runs that have ended and may have too many, in no order, which would cost a walk through all runs.

    A session whose next run is under way is left alone until that has ended.
    """
    at_work = Run.objects.filter(session_id=OuterRef("session_id"), status__in=ACTIVE)
    ended = Run.objects.filter(workspace_id=workspace_id, status__in=TERMINAL)
    due = ended.filter(Q(pruned_to__isnull=True) | Q(pruned_to__gt=keep)).exclude(Exists(at_work))
    return due.order_by().values_list("pk", flat=True)


def _prune_batch(run_ids: list[uuid.UUID], keep: int, is_dry_run: bool = False) -> Removed:
    """Runs that somebody else has locked, who may be about to fork them, are left for the next time."""
    with transaction.atomic(), connection.cursor() as cursor:
        locked = list(_locked(run_ids).values_list("pk", flat=True))
        cursor.execute(_REMOVE, {"runs": locked, "keep": keep})
        removed = Removed(len(locked), *cursor.fetchone())
        Run.objects.filter(pk__in=locked).update(pruned_to=keep)
        transaction.set_rollback(is_dry_run)
    return removed


def _locked(run_ids: list[uuid.UUID]) -> QuerySet[Run]:
    return Run.objects.select_for_update(skip_locked=True, no_key=True).filter(pk__in=run_ids).order_by("pk")


# All parts see the tables as they were before, so a value stays if a checkpoint that is not `gone` refers to it.
_REMOVE = """
WITH ranked AS (
    SELECT id, row_number() OVER (PARTITION BY run_id ORDER BY checkpoint_id DESC) AS place
    FROM runs_checkpoint WHERE run_id = ANY(%(runs)s) AND namespace = '' AND NOT manual
), gone AS (
    DELETE FROM runs_checkpoint old
    WHERE run_id = ANY(%(runs)s) AND NOT manual AND tags = '{}'
    AND id NOT IN (SELECT id FROM ranked WHERE place <= %(keep)s)
    AND NOT EXISTS (SELECT FROM runs_run run WHERE run.source_checkpoint_id = old.id)
    RETURNING id, thread_id, namespace, checkpoint_id, checkpoint -> 'channel_versions' AS versions
), written AS (
    DELETE FROM runs_checkpointwrite write USING gone
    WHERE (write.thread_id, write.namespace, write.checkpoint_id) = (gone.thread_id, gone.namespace, gone.checkpoint_id)
    RETURNING write.id
), used AS MATERIALIZED (
    SELECT DISTINCT kept.thread_id, kept.namespace, version.key AS channel, version.value AS version
    FROM runs_checkpoint kept, jsonb_each_text(kept.checkpoint -> 'channel_versions') version
    WHERE kept.thread_id IN (SELECT thread_id FROM gone) AND kept.id NOT IN (SELECT id FROM gone)
), unused AS (
    SELECT DISTINCT gone.thread_id, gone.namespace, version.key AS channel, version.value AS version
    FROM gone, jsonb_each_text(gone.versions) version
    EXCEPT SELECT thread_id, namespace, channel, version FROM used
), emptied AS (
    DELETE FROM runs_checkpointblob value USING unused
    WHERE (value.thread_id, value.namespace, value.channel, value.version)
        = (unused.thread_id, unused.namespace, unused.channel, unused.version)
    RETURNING value.id
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM written), (SELECT count(*) FROM emptied)
"""
