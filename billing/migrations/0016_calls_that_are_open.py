"""Notes the calls that are open already. Broken off, it is begun again."""

from django.db import migrations

SETTLED = """
    SELECT FROM billing_usagerecord settled
    WHERE settled.call_id = opened.call_id AND settled.entry = 'settled' AND settled.correction_of IS NULL
"""
KNOWN = f"""
INSERT INTO billing_opencall (call_id, record_id, workspace_id)
SELECT call_id, id, workspace_id FROM billing_usagerecord opened
WHERE entry = 'opened' AND NOT EXISTS ({SETTLED}) ON CONFLICT DO NOTHING
"""  # noqa: S608
# What was settled while that statement looked: from its commit on the trigger finds it.
MEANWHILE = f"DELETE FROM billing_opencall opened WHERE EXISTS ({SETTLED})"  # noqa: S608


class Migration(migrations.Migration):
    # Nobody who writes into the ledger waits for what reads all of it.
    atomic = False

    dependencies = [("billing", "0015_open_calls")]

    operations = [
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
        migrations.RunSQL(MEANWHILE, migrations.RunSQL.noop),
    ]
