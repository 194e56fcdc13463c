"""Rows of LangGraph's threads, copied: as another checkpoint of their thread, or as the beginning of another run's.

Values are never read here: rows go from table to table, and blobs are shared within a thread.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import connection, models

from agentplatform.lib.ids import uuid7
from runs.models import Checkpoint, CheckpointBlob, Run, RunStep


def head_of(run_id: uuid.UUID) -> Checkpoint | None:
    """Where a run stands: the last state of its own that LangGraph has saved."""
    rows = Checkpoint.objects.of_people().automatic().filter(run_id=run_id)
    return rows.order_by("-checkpoint_id").first()


def original_of(checkpoint: Checkpoint) -> Checkpoint:
    """The one of LangGraph's that a person's own is a copy of, as long as it is kept; of others, itself."""
    if not checkpoint.manual:
        return checkpoint
    rows = Checkpoint.objects.filter(**_place(checkpoint), checkpoint_id=checkpoint.parent_checkpoint_id)
    return rows.first() or checkpoint


def copy_within(checkpoint: Checkpoint, now: datetime, **values: Any) -> Checkpoint:
    """Stores a copy of a checkpoint in its thread, under a fresh id that sorts after all others there."""
    place = _place(checkpoint)
    newest = (
        Checkpoint.objects.filter(**place).order_by("-checkpoint_id").values_list("checkpoint_id", flat=True)
    )
    fresh = _checkpoint_id(newest[0])
    return Checkpoint.objects.create(
        **place,
        checkpoint_id=fresh,
        parent_checkpoint_id=_origin(checkpoint),
        run_id=checkpoint.run_id,
        step_num=checkpoint.step_num,
        checkpoint={**checkpoint.checkpoint, "id": fresh},
        metadata=checkpoint.metadata,
        message_count=checkpoint.message_count,
        total_tokens=checkpoint.total_tokens,
        created_at=now,
        **values,
    )


def _place(checkpoint: Checkpoint) -> dict[str, str]:
    return {"thread_id": checkpoint.thread_id, "namespace": checkpoint.namespace}


def _origin(checkpoint: Checkpoint) -> str:
    """What a copy comes from, as LangGraph knows it: it reads no person's own."""
    return checkpoint.parent_checkpoint_id if checkpoint.manual else checkpoint.checkpoint_id


def _checkpoint_id(highest: str) -> str:
    """An id as LangGraph makes them, but higher than others whatever the clock says: the highest is a thread's head."""
    # Imported here because it brings LangChain along, which a web process needs only for this.
    from langgraph.checkpoint.base.id import uuid6

    following = uuid.UUID(int=uuid.UUID(highest).int + 1)
    return max(str(uuid6()), str(following))


# --- into another run ----------------------------------------------------------------------------


def copy_history(checkpoint: Checkpoint, run: Run) -> None:
    """Gives a new run the history that leads to a checkpoint: states, their values, and steps.

    The caller holds the lock of the checkpoint's run, so that nobody prunes what is being copied. Pending writes
    stay behind: what was under way is done again.
    """
    place: dict[str, Any] = {
        "source_run": checkpoint.run_id,
        "source_thread": checkpoint.thread_id,
        "run": run.pk,
        "thread": run.thread_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY, {**place, "checkpoint": checkpoint.pk})
        keys = [row[0] for row in cursor.fetchall()]
        cursor.execute(_copying_checkpoints(), {**place, "keys": keys, "fresh_keys": [uuid7() for _ in keys]})
        cursor.execute(_copying_blobs(), place)
        place |= {"last_step": checkpoint.step_num, "taken_at": checkpoint.created_at}
        cursor.execute(_copying_steps(), place)


def copy_state(checkpoint: Checkpoint, thread_id: str) -> None:
    """Makes a checkpoint the beginning of another thread that has none yet, without what led to it. It is no run's."""
    place: dict[str, Any] = {
        "source_thread": checkpoint.thread_id,
        "thread": thread_id,
        "run": None,
        "keys": [checkpoint.pk],
        "fresh_keys": [uuid7()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_copying_checkpoints(parent_checkpoint_id="''"), place)
        cursor.execute(_copying_blobs(), place)


# From a checkpoint back along its parents: what a run that was set back has left aside is not among them.
_HISTORY = """
WITH RECURSIVE history AS (
    SELECT id, parent_checkpoint_id FROM runs_checkpoint WHERE id = %(checkpoint)s
    UNION ALL
    SELECT parent.id, parent.parent_checkpoint_id FROM history
    JOIN runs_checkpoint parent ON parent.thread_id = %(source_thread)s AND parent.namespace = ''
        AND parent.checkpoint_id = history.parent_checkpoint_id AND parent.run_id = %(source_run)s
)
SELECT id FROM history
"""


def _copying_checkpoints(**replaced: str) -> str:
    """Metadata stay as they are: LangGraph ignores the input of a run that the head's metadata name as its own."""
    source = """
        FROM runs_checkpoint original
        JOIN unnest(%(keys)s::uuid[], %(fresh_keys)s::uuid[]) AS key (id, fresh) ON original.id = key.id
    """
    return copying(
        Checkpoint,
        source,
        id="key.fresh",
        run_id="%(run)s::uuid",
        thread_id="%(thread)s",
        manual="FALSE",
        description="''",
        tags="'{}'",
        **replaced,
    )


def _copying_blobs() -> str:
    """The values that the checkpoints of the new thread, which are there already, refer to."""
    source = """
        FROM runs_checkpointblob original
        WHERE original.thread_id = %(source_thread)s AND original.namespace = ''
        AND (original.channel, original.version) IN (
            SELECT version.key, version.value
            FROM runs_checkpoint copied, jsonb_each_text(copied.checkpoint -> 'channel_versions') version
            WHERE copied.thread_id = %(thread)s
        )
    """
    return copying(CheckpointBlob, source, thread_id="%(thread)s")


def _copying_steps() -> str:
    """By time too: a run that was set back has numbered other steps the same."""
    source = """
        FROM runs_runstep original
        WHERE original.run_id = %(source_run)s AND original.step_num <= %(last_step)s
        AND original.started_at <= %(taken_at)s
    """
    return copying(RunStep, source, run_id="%(run)s")


def copying(model: type[models.Model], source: str, **replaced: str) -> str:
    """INSERT … SELECT of a table's own rows: all columns, but serial keys, as they are or as `replaced` says."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    columns = {str(field.column): connection.ops.quote_name(str(field.column)) for field in fields}
    values = [replaced.get(name, f"original.{quoted}") for name, quoted in columns.items()]
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns.values())}) SELECT {', '.join(values)} {source}"
