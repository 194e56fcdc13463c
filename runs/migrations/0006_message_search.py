"""Messages can be searched: a column with their words, kept by a trigger, which the ORM does not read along.

Nothing is locked for long, however many messages there are: the column is empty at first and filled in batches, and the
indexes are made beside the work. Where it breaks off it can be run again.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

from agentplatform.lib.words import MARKS, pairs_sql

TERMS = f"""
CREATE OR REPLACE FUNCTION runs_message_terms(content text, session_id uuid) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH text AS (SELECT regexp_replace(left(content, 50000), '{MARKS}', ' ', 'g') AS content)
    SELECT array_to_tsvector(ARRAY['session:' || session_id::text]) || to_tsvector(
        'simple'::regconfig,
        {pairs_sql("text.content")}
    ) FROM text
$$
"""  # noqa: S608 - made of constants


TRIGGER = """
CREATE OR REPLACE FUNCTION runs_message_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.terms := runs_message_terms(NEW.content, NEW.session_id);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER message_keeps_terms BEFORE INSERT OR UPDATE OF content, session_id ON runs_message
FOR EACH ROW EXECUTE FUNCTION runs_message_keep_terms()
"""
NO_TRIGGER = """
DROP TRIGGER IF EXISTS message_keeps_terms ON runs_message;
DROP FUNCTION IF EXISTS runs_message_keep_terms()
"""
BATCH = 2_000
FILL = """
WITH batch AS (SELECT id, terms IS NULL AS is_empty FROM runs_message WHERE id > %s ORDER BY id LIMIT %s), filled AS (
    UPDATE runs_message message SET terms = runs_message_terms(message.content, message.session_id)
    FROM batch WHERE message.id = batch.id AND batch.is_empty
)
SELECT max(id::text) FROM batch
"""


def fill(apps: Any, schema_editor: Any) -> None:
    """A batch a transaction, in order of id."""
    last: str | None = str(uuid.UUID(int=0))
    while last:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(FILL, [last, BATCH])
            last = cursor.fetchone()[0]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("runs", "0005_workflow_runs")]

    operations = [
        migrations.RunSQL(TERMS, "DROP FUNCTION IF EXISTS runs_message_terms(text, uuid)"),
        migrations.RunSQL(
            "ALTER TABLE runs_message ADD COLUMN IF NOT EXISTS terms tsvector",
            "ALTER TABLE runs_message DROP COLUMN IF EXISTS terms",
        ),
        migrations.RunSQL(
            "COMMENT ON COLUMN runs_message.terms IS 'Its words, and session:<id>; see runs.conversations.search'",
            migrations.RunSQL.noop,
        ),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunSQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS message_terms ON runs_message USING gin (terms)",
            "DROP INDEX CONCURRENTLY IF EXISTS message_terms",
        ),
        AddIndexConcurrently(
            "message", models.Index(fields=["session", "created_at", "id"], name="message_in_order")
        ),
        RemoveIndexConcurrently("message", "message_of_session"),
        # Without knowing which words are frequent, PostgreSQL reads all that match before it takes the newest.
        migrations.RunSQL("ANALYZE runs_message", migrations.RunSQL.noop),
    ]
