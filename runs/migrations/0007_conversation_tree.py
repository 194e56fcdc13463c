"""A conversation's turns are a tree: each run of a session knows the one that it follows, each session its last one.

Nothing is locked for long: the columns are empty at first and filled in batches of sessions, the indexes are made beside
the work. Where it breaks off it can be run again.
"""

from __future__ import annotations

import uuid
from typing import Any

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

BATCH = 200
# Runs that were rolled back have no messages, and those that were only created have no place yet.
TURNS = """
WITH batch AS (SELECT id FROM runs_session WHERE id > %s ORDER BY id LIMIT %s), turns AS (
    SELECT run.id, run.session_id, lag(run.id) OVER place AS previous_id, lead(run.id) OVER place IS NULL AS is_last
    FROM runs_run run JOIN batch ON batch.id = run.session_id
    WHERE run.status <> 'created' AND EXISTS (SELECT FROM runs_message message WHERE message.run_id = run.id)
    WINDOW place AS (PARTITION BY run.session_id ORDER BY run.created_at, run.id)
)
"""
FILL_RUNS = f"""
{TURNS}
UPDATE runs_run run SET previous_id = turns.previous_id FROM turns
WHERE run.id = turns.id AND run.previous_id IS NULL AND turns.previous_id IS NOT NULL
"""  # noqa: S608 - made of constants
FILL_SESSIONS = f"""
{TURNS}, filled AS (
    UPDATE runs_session session SET head_id = turns.id FROM turns
    WHERE session.id = turns.session_id AND turns.is_last AND session.head_id IS NULL
)
SELECT max(id::text) FROM batch
"""  # noqa: S608 - made of constants


def fill(apps: Any, schema_editor: Any) -> None:
    """Runs and sessions in transactions of their own: who changes a run takes its session's lock after the run's."""
    last: str | None = str(uuid.UUID(int=0))
    while last:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(FILL_RUNS, [last, BATCH])
            cursor.execute(FILL_SESSIONS, [last, BATCH])
            last = cursor.fetchone()[0]


class AddFieldOnce(migrations.AddField):
    """A column that may be there already, of a try that broke off."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        with schema_editor.connection.cursor() as cursor:
            table = model._meta.db_table
            columns = schema_editor.connection.introspection.get_table_description(cursor, table)
        if model._meta.get_field(self.name).column not in {column.name for column in columns}:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("runs", "0006_message_search")]

    operations = [
        AddFieldOnce(
            "message",
            "active",
            models.BooleanField(
                db_comment="Whether it stands on the branch that is shown", db_default=True, default=True
            ),
        ),
        AddFieldOnce(
            "run",
            "previous",
            models.ForeignKey(
                db_comment="The turn of its session that it follows; null for a first one",
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="following",
                to="runs.run",
            ),
        ),
        AddFieldOnce(
            "session",
            "head",
            models.ForeignKey(
                db_comment="The last turn of the branch that is shown; the next message follows it",
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="runs.run",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        AddIndexConcurrently(
            "run",
            models.Index(
                condition=models.Q(("previous__isnull", False)), fields=["previous"], name="run_follows"
            ),
        ),
        AddIndexConcurrently(
            "run",
            models.Index(
                condition=models.Q(("previous__isnull", True), ("session__isnull", False)),
                fields=["session"],
                name="run_begins_session",
            ),
        ),
    ]
