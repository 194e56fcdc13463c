"""Calls that are open, apart from the ledger, so that nobody reads an hour of it to count them."""

from django.db import migrations, models

TRIGGER = """
CREATE FUNCTION billing_note_open_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_opencall (call_id, record_id, workspace_id)
    SELECT call_id, id, workspace_id FROM written WHERE entry = 'opened' AND NOT EXISTS (
        SELECT FROM billing_usagerecord settled
        WHERE settled.call_id = written.call_id AND settled.entry = 'settled' AND settled.correction_of IS NULL
    ) ON CONFLICT DO NOTHING;
    DELETE FROM billing_opencall USING written
    WHERE written.entry = 'settled' AND billing_opencall.call_id = written.call_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER usage_opens_calls AFTER INSERT ON billing_usagerecord
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION billing_note_open_calls()
"""
NO_TRIGGER = """
DROP TRIGGER usage_opens_calls ON billing_usagerecord;
DROP FUNCTION billing_note_open_calls()
"""
# As many rows as calls go through it, and few are there at any time.
ROOM = "ALTER TABLE billing_opencall SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_calls_by_status")]

    operations = [
        migrations.CreateModel(
            name="OpenCall",
            fields=[
                ("call_id", models.UUIDField(primary_key=True, serialize=False)),
                ("record_id", models.UUIDField(db_comment="The entry that opened it")),
                ("workspace_id", models.UUIDField()),
            ],
            options={
                "db_table_comment": "Calls that are under way, or were left open by a process that ended",
            },
        ),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
    ]
